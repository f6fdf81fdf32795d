"""Compression within a budget: what breaks it is undone and tried smaller, and the best is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from lifecycle.core.canonical import JSON
from lifecycle.core.errors import RefusedError
from lifecycle.core.verdict import Row

T = TypeVar("T")
CLOSE = 1.1  # what holds and what does not are as near as it is worth a further try


@dataclass(frozen=True, kw_only=True)
class Attempt(Generic[T]):
    """One try, measured.

    Attributes:
        value: What was asked for.
        achieved: What came out, in the same unit.
        measured: Metrics and costs by name.
        rows: The terms of the budget.
        result: What was made.
    """

    value: float
    achieved: float
    measured: Mapping[str, float]
    rows: Sequence[Row]
    result: T

    @property
    def holds(self) -> bool:
        """Whether it is within the budget."""
        return all(row.holds for row in self.rows)

    def to_json(self) -> dict[str, JSON]:
        """Plain data, for facts and reports."""
        return {
            "value": self.value,
            "achieved": self.achieved,
            "holds": self.holds,
            "measured": dict(self.measured),
            "budget": [row.to_json() for row in self.rows],
        }


def search_in_budget(
    attempt: Callable[[float, Attempt[T] | None], Attempt[T]],
    values: Sequence[float],
    *,
    start: float,
    tries: int,
) -> tuple[Attempt[T] | None, list[Attempt[T]]]:
    """The smallest result found that holds, and all attempts in order.

    Each value is tried from the last result that held. One that breaks the budget is undone; from then on
    the geometric middle of what held and what did not is tried, until they are close or tries run out.

    Args:
        attempt: Makes and measures a result for a value, from an attempt that held (None for the parent).
        values: From large to small; the last one is the goal.
        start: The greatest value worth a try: the parent's, or what the budget allows.
        tries: How many attempts may break the budget, the first included.
    """
    best: Attempt[T] | None = None
    made: list[Attempt[T]] = []
    broken: float | None = None
    waiting = list(values)
    while waiting:
        value = waiting.pop(0)
        if best is not None and value >= best.achieved:
            continue  # the one that held went as far
        made.append(attempt(value, best))
        if made[-1].holds:
            best = made[-1]
        else:
            broken = value
        if broken is None:
            continue
        held = start if best is None else best.achieved
        left = tries - sum(not each.holds for each in made)
        waiting = [math.sqrt(held * broken)] if held / broken > CLOSE and left > 0 else []
    return best, made


def refusal(made: Sequence[Attempt[T]], what: str, hint: str) -> RefusedError:
    """The error of a search in which nothing held, with the table of what was tried."""
    lines = []
    for each in made:
        lines.append(f"  to {each.value:.4g}, reached {each.achieved:.4g}:")
        lines += [f"    {row}" for row in each.rows]
    return RefusedError(f"{what}\n" + "\n".join(lines), hint=hint)
