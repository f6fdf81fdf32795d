"""How many channels each group loses: one threshold over the whole network, found by bisection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lifecycle.compress.groups import ChannelGroup, History
from lifecycle.compress.target import WORDS, Target
from lifecycle.core.errors import UsageError

LEAST = 0.1  # of a layer's channels stay: a network with a layer of one or two channels does not recover
CLOSE = 0.9  # of the target reached is near enough to keep the rounding


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What goes, and the multiple that channel counts were kept at."""

    history: History
    round_to: int


def search_plan(
    groups: Sequence[ChannelGroup], cost_of: Callable[[Plan], float], target: Target, *, round_to: int
) -> Plan:
    """The plan of greatest cost that is at most the target's value.

    Args:
        groups: What may go.
        cost_of: Measures a plan in the target's unit; more removed does not cost more.
        target: What may remain.
        round_to: Preferred multiple of channels; halved until the target is met closely.

    Raises:
        UsageError: the target is below what can be reached, which the message names.
    """
    best: tuple[float, Plan] | None = None
    rounding = round_to
    while True:
        found = _bisect(groups, cost_of, target.value, rounding)
        if found is not None and (best is None or found[0] > best[0]):
            best = found
        if best is not None and best[0] >= CLOSE * target.value:
            return best[1]
        if rounding == 1:
            break
        rounding //= 2
    if best is not None:
        return best[1]
    least = cost_of(plan_at(groups, _thresholds(groups)[-1], 1)) if groups else 1.0
    raise UsageError(
        f"{target.name}: {target.value:g} {WORDS[target.name]} cannot be reached; "
        f"least possible is {least:.4g}",
        hint=f"ask for {least:.4g} or more, or take layers out of `ignore`",
    )


def plan_at(groups: Sequence[ChannelGroup], threshold: float, round_to: int) -> Plan:
    """Remove what scores at most `threshold`, with the number that stays rounded in each group."""
    history = []
    for group in groups:
        units = len(group.units)
        kept = sum(score > threshold for score in group.scores)
        least = LEAST * group.full
        count = units - _rounded(kept, units, max(1, round_to // group.size), least)
        if count:
            history.append((group.layer, True, group.removed(count)))
    return Plan(history=tuple(history), round_to=round_to)


def _rounded(kept: int, units: int, step: int, least: float) -> int:
    """The nearest multiple of `step`, within what a layer must keep and what it has.

    >>> [_rounded(kept, 32, 8, 3.2) for kept in (0, 11, 12, 31, 32)]
    [8, 8, 16, 32, 32]
    """
    if kept == units:
        return units
    fewest = -(-max(1, least) // step) * step
    return int(min(units, max(fewest, (kept + step // 2) // step * step)))


def _thresholds(groups: Sequence[ChannelGroup]) -> list[float]:
    return sorted({score for group in groups for score in group.scores})


def _bisect(
    groups: Sequence[ChannelGroup], cost_of: Callable[[Plan], float], limit: float, round_to: int
) -> tuple[float, Plan] | None:
    """The lowest threshold whose plan costs at most `limit`, and that cost; None when there is none."""
    thresholds = _thresholds(groups)
    low, high = 0, len(thresholds)
    best: tuple[float, Plan] | None = None
    costs: dict[History, float] = {}
    while low < high:
        middle = (low + high) // 2
        plan = plan_at(groups, thresholds[middle], round_to)
        if plan.history not in costs:
            costs[plan.history] = cost_of(plan)
        if costs[plan.history] <= limit:
            best, high = (costs[plan.history], plan), middle
        else:
            low = middle + 1
    return best
