"""Results as notebooks show them: a part of a page, with a style that reaches nothing else there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.core.secrets import mask
from lifecycle.report.page.known import RunFacts
from lifecycle.report.page.models import before_after, tiles
from lifecycle.report.page.sections import stages
from lifecycle.report.page.table import texts
from lifecycle.report.page.template import template_at

if TYPE_CHECKING:
    from lifecycle.verbs.plans import PlanResult
    from lifecycle.verbs.results import RunResult

HERE = Path(__file__).parent


def run_html(result: RunResult) -> str:
    """The numbers that one looks for first, the table of stages, and the model before and after."""
    facts = RunFacts(pipeline=result.pipeline, outcomes=result.outcomes)
    sections = [part for part in (stages(facts), before_after(facts)) if part is not None]
    registered = "" if result.version is None else f"registered as version {result.version}"
    return _render(
        title=result.name,
        note=registered,
        tiles=tiles(facts),
        tables=[table for part in sections for table in part.tables],
        links=[
            ("report of this run", result.report.as_uri()),
            *([("run in MLflow", result.run_url)] if result.run_url else []),
        ],
        run_id="" if result.run_url else result.run_id,
    )


def plan_html(plan: PlanResult) -> str:
    """What would become of each stage, and why."""
    table = texts("Plan: what a run would do", plan.columns, plan.rows)
    return _render(title=plan.name, note=plan.total, tiles=[], tables=[table], links=[], run_id="")


def _render(**given: object) -> str:
    return mask(
        template_at(HERE / "display.html.jinja").render(style=(HERE / "display.css").read_text(), **given)
    )
