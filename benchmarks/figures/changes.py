"""What is other than it was, and whether that is more than noise."""

from __future__ import annotations

from dataclasses import dataclass

from .figure import Figure
from .results import Results
from .words import cell


@dataclass(frozen=True, kw_only=True)
class Change:
    """A figure that moved, came or went.

    Attributes:
        benchmark: Where it stands.
        name: Of the figure.
        before: As it was, in words; a dash for a new one.
        now: As it is; a dash for one that is gone.
        overlap: Whether the two intervals have something in common; a dash where one is missing.
    """

    benchmark: str
    name: str
    before: str
    now: str
    overlap: str


def changes(before: Results, now: Results) -> list[Change]:
    """What differs in what pages show."""
    found = []
    for name in sorted({*before, *now}):
        old, new = (
            {figure.key: figure for figure in results[name].figures} if name in results else {}
            for results in (before, now)
        )
        for key in dict.fromkeys((*old, *new)):
            change = _change(name, key, old.get(key), new.get(key))
            if change.before != change.now:
                found.append(change)
    return found


def _change(benchmark: str, key: tuple[str, str, str], old: Figure | None, new: Figure | None) -> Change:
    overlap = "–"
    if old and new and None not in (ends := (old.low, old.high, new.low, new.high)):
        low, high, other_low, other_high = (end for end in ends if end is not None)
        overlap = "yes" if low <= other_high and other_low <= high else "no"
    return Change(
        benchmark=benchmark,
        name=f"{key[0]}, {key[1]} ({key[2]})",
        before=cell(old) if old else "–",
        now=cell(new) if new else "–",
        overlap=overlap,
    )


def render_changes(found: list[Change]) -> str:
    """A table for people."""
    if not found:
        return "Nothing changed since the committed results."
    rows = [("figure", "before", "now", "intervals overlap")]
    rows += [(f"{one.benchmark}: {one.name}", one.before, one.now, one.overlap) for one in found]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(["What changed since the committed results", *(line.rstrip() for line in lines)])
