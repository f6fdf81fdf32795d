"""Thresholds of promotion: set in the pipeline file, kept on the version, applied when it is promoted."""

from __future__ import annotations

from dataclasses import dataclass

from lifecycle.core.canonical import JSON
from lifecycle.core.errors import UsageError
from lifecycle.core.verdict import Row, at_least, at_most


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """What one metric must reach; at least one limit.

    Attributes:
        min: The least allowed value.
        max: The greatest allowed value; with it and no `min`, less is better.
        max_drop: How much worse than the present champion's the value may be; beside `min` or `max`.
    """

    min: float | None = None
    max: float | None = None
    max_drop: float | None = None

    def __post_init__(self) -> None:
        if self.min is None and self.max is None and self.max_drop is None:
            raise UsageError("a gate needs a threshold: min, max or max_drop")
        if self.min is None and self.max is None:
            # The first champion has none before it to be compared with, and a drop has no direction yet.
            raise UsageError("max_drop needs min or max beside it: they say which way is better")

    def to_json(self) -> dict[str, JSON]:
        """Only the limits that are set."""
        limits = {"min": self.min, "max": self.max, "max_drop": self.max_drop}
        return {name: limit for name, limit in limits.items() if limit is not None}

    def judge(self, metric: str, value: float | None, champion: float | None) -> list[Row]:
        """Compare a measured value with every limit that is set.

        Args:
            metric: Its name.
            value: The candidate's; None, when it was not measured, is refused.
            champion: The present champion's, None when there is no champion to compare with.
        """
        if value is None:
            return [Row(term=metric, measured="not measured", limit=_text(self.to_json()), holds=False)]
        rows = []
        if self.min is not None:
            rows.append(at_least(metric, value, self.min))
        if self.max is not None:
            rows.append(at_most(metric, value, self.max))
        if self.max_drop is not None and champion is not None:
            less_is_better = self.max is not None and self.min is None
            drop = value - champion if less_is_better else champion - value
            rows.append(at_most(f"{metric}, drop from champion", drop, self.max_drop))
        return rows


def _text(limits: dict[str, JSON]) -> str:
    return ", ".join(f"{name} {limit}" for name, limit in limits.items())
