"""Thresholds of promotion: set in the pipeline file, kept on the version, applied when it is promoted."""

from __future__ import annotations

from dataclasses import dataclass

from lifecycle.core.canonical import JSON
from lifecycle.core.errors import UsageError
from lifecycle.core.verdict import Row, at_least, at_most
from lifecycle.core.within import Positive, check_limits


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """What one metric must reach; at least one limit.

    Attributes:
        min: The least allowed value.
        max: The greatest allowed value; with it and no `min`, less is better.
        max_drop: How much worse than the present champion's the value may be; beside `min` or `max`.
        max_ratio: How many times the present champion's the value may be, for what should be small:
            latency, size, memory.
    """

    min: float | None = None
    max: float | None = None
    max_drop: float | None = None
    max_ratio: Positive | None = None

    def __post_init__(self) -> None:
        if not self.to_json():
            raise UsageError("a gate needs a threshold: min, max, max_drop or max_ratio")
        if self.max_drop is not None and not self.absolute:
            # The first champion has none before it to be compared with, and a drop has no direction yet.
            raise UsageError("max_drop needs min or max beside it: they say which way is better")
        check_limits(self)
        if self.max_ratio is not None and self.min is not None:
            raise UsageError(
                f"max_ratio is {self.max_ratio:g} beside a min; it is for a value that should be small"
            )

    @property
    def absolute(self) -> bool:
        """Whether there is a limit that needs no champion."""
        return self.min is not None or self.max is not None

    @property
    def less_is_better(self) -> bool:
        """Which way is better."""
        return self.min is None

    def to_json(self) -> dict[str, JSON]:
        """Only the limits that are set."""
        limits = {
            "min": self.min,
            "max": self.max,
            "max_drop": self.max_drop,
            "max_ratio": self.max_ratio,
        }
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
        if champion is None:
            return rows
        if self.max_drop is not None:
            drop = value - champion if self.less_is_better else champion - value
            rows.append(at_most(f"{metric}, drop from champion", drop, self.max_drop))
        if self.max_ratio is not None:
            ratio = value / champion if champion else float("inf") if value else 1.0
            rows.append(at_most(f"{metric}, ratio to champion", ratio, self.max_ratio))
        return rows


def _text(limits: dict[str, JSON]) -> str:
    return ", ".join(f"{name} {limit}" for name, limit in limits.items())
