"""What a run would do: shown by ``lifecycle plan``, and by itself in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lifecycle.core.canonical import JSON
from lifecycle.pipeline.plan import Planned, estimate

COLUMNS = ("stage", "what", "took last", "why")


@dataclass(frozen=True, kw_only=True, repr=False)
class PlanResult:
    """What would become of each stage.

    Attributes:
        name: Of the pipeline.
        stages: In order: whether it runs, why, and how long it took last.
        changed_files: Files of data whose size or time is another than at the last run.
    """

    name: str
    stages: Sequence[Planned]
    changed_files: Sequence[str] = ()

    columns = COLUMNS

    @property
    def rows(self) -> list[list[str]]:
        """The table, under `columns`."""
        return [
            [
                each.stage,
                each.action,
                "" if each.last_s is None else duration_text(each.last_s),
                "; ".join(each.reasons),
            ]
            for each in self.stages
        ]

    @property
    def total(self) -> str:
        """How much there is to do, in a sentence."""
        seconds, unknown = estimate(self.stages)
        due = sum(each.action != "cached" for each in self.stages)
        if not due:
            return "Nothing to run: every result is there."
        if unknown == due:
            return f"{due} to run; how long it takes is not known: none of them ran before."
        more = f" and what {unknown} that never ran take" if unknown else ""
        return f"{due} to run, about {duration_text(seconds)}{more}, by how long they took last."

    def to_json(self) -> dict[str, JSON]:
        """What ``lifecycle plan --json`` prints."""
        seconds, unknown = estimate(self.stages)
        stages: list[JSON] = [
            {
                "stage": each.stage,
                "action": each.action,
                "reasons": list(each.reasons),
                "last_seconds": each.last_s,
                "digest": each.digest,
            }
            for each in self.stages
        ]
        return {
            "stages": stages,
            "estimate": {"seconds": round(seconds, 3), "stages_without_a_time": unknown},
            "changed_files": list(self.changed_files),
        }

    def _repr_html_(self) -> str:
        from lifecycle.verbs.display import plan_html

        return plan_html(self)

    def __repr__(self) -> str:
        widths = [max(len(row[place]) for row in [COLUMNS, *self.rows]) for place in range(len(COLUMNS))]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            for row in [COLUMNS, *self.rows]
        ]
        return "\n".join([f"Plan of {self.name}", *lines, self.total])


def duration_text(seconds: float) -> str:
    """As people say it.

    >>> duration_text(0.42), duration_text(75), duration_text(7384)
    ('0.4 s', '1 min 15 s', '2 h 3 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
