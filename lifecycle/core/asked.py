"""Metrics that a pipeline file counts on: named there, and logged by the user's steps or by nobody."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from lifecycle.core.errors import UsageError, suggest

# What is measured by us, and logged by nobody's step.
COSTS = ("macs", "params", "size_bytes", "latency_ms", "latency_p95_ms", "memory_mb")
STEPS = {"val": "validation_step", "test": "test_step"}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One of them.

    Attributes:
        name: Of the metric.
        split: On which it is measured.
        option: That names it.
        place: Where that was set; empty where that is not known.
    """

    name: str
    split: Literal["val", "test"]
    option: str
    place: str = ""


def check_asked(asked: Iterable[Asked], split: str, measured: Iterable[str]) -> None:
    """See that every metric of a split that is asked for is one that was measured.

    Args:
        asked: All that are.
        split: ``val`` or ``test``.
        measured: Names of what was found on it; costs may be among them.

    Raises:
        UsageError: the step of the split never logs it; the closest that it logs is suggested.
    """
    logged = [name for name in measured if name not in COSTS]
    for each in asked:
        if each.split == split and each.name not in logged:
            place, step = f"{each.place}: " if each.place else "", STEPS[split]
            raise UsageError(
                f"{place}{each.option} is about '{each.name}', which {step} never logs: "
                f"{suggest(each.name, logged)}",
                hint=f"Log it with self.log in {step}, or name one that is logged.",
            )
