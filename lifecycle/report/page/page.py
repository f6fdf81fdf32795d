"""Laying the page out, and writing it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from lifecycle.core.canonical import write_whole
from lifecycle.core.secrets import mask
from lifecycle.core.verdict import Row
from lifecycle.report.page.known import RunFacts
from lifecycle.report.page.models import tiles
from lifecycle.report.page.sections import asked, judged, sections
from lifecycle.report.page.template import template_at

HERE = Path(__file__).parent


def render(facts: RunFacts) -> str:
    """The page as text."""
    parts = sections(facts)
    main = [part for part in parts if not part.name.startswith("card")]
    return template_at(HERE / "page.html.jinja").render(
        name=facts.pipeline.project.name,
        ended=facts.ended.astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        iso=facts.ended.isoformat(timespec="seconds"),
        style="\n".join((HERE / name).read_text() for name in ("chart.css", "page.css")),
        tiles=tiles(facts),
        verdicts=verdicts(facts),
        notes=facts.notes,
        sections=main,
        card=[part for part in parts if part.name.startswith("card")],
    )


def verdicts(facts: RunFacts) -> list[tuple[str, str]]:
    """A word for the budget and one for the gates, and whether it is good news."""
    found = []
    if facts.failure is not None:
        found.append((f"failed in {facts.failure.stage}", "bad"))
    reached = facts.failure is None or facts.artifact("evaluation") is not None
    for rows, good, bad in (
        (judged(facts), "within budget", "outside the budget"),
        (asked(facts) if reached else [], "meets its own gates", "misses its gates"),
    ):
        if rows:
            found.append((good, "good") if _hold(rows) else (bad, "bad"))
    if facts.promotion is not None:
        found.append((f"was promoted to {facts.promotion.alias}", "good"))
    return found


def write_page(facts: RunFacts, folder: Path) -> Path:
    """Write the page below a folder of reports, in one of its own named after time and run."""
    into = folder / f"{_stamp(facts.ended)}-{facts.run_id or 'run'}"
    into.mkdir(parents=True, exist_ok=True)
    path = into / "report.html"
    write_whole(path, mask(render(facts)).encode())
    return path


def _hold(rows: list[Row]) -> bool:
    return all(row.holds for row in rows)


def _stamp(when: datetime) -> str:
    return when.strftime("%Y%m%d-%H%M%S")
