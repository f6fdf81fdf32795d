"""How many channels each group loses: one threshold over the whole network, found by bisection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lifecycle.compress.groups import ChannelGroup, History
from lifecycle.core.errors import UsageError

LEAST = 0.1  # of a layer's channels stay: a network with a layer of one or two channels does not recover
CLOSE = 0.9  # of the target reached is near enough to keep the rounding


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What goes, and the multiple that channel counts were kept at."""

    history: History
    round_to: int


def search_plan(
    groups: Sequence[ChannelGroup],
    cost_of: Callable[[Plan], int],
    *,
    total: int,
    fraction: float,
    round_to: int,
) -> Plan:
    """The plan of greatest cost that is at most `fraction` of `total`.

    Args:
        groups: What may go.
        cost_of: Measures a plan; more removed never costs more.
        total: Cost with nothing removed.
        fraction: The target.
        round_to: Preferred multiple of channels; halved until the target is met closely.

    Raises:
        UsageError: the target is below what can be reached, which the message names.
    """
    best: tuple[int, Plan] | None = None
    rounding = round_to
    while True:
        found = _bisect(groups, cost_of, fraction * total, rounding)
        if found is not None and (best is None or found[0] > best[0]):
            best = found
        if best is not None and best[0] >= CLOSE * fraction * total:
            return best[1]
        if rounding == 1:
            break
        rounding //= 2
    if best is not None:
        return best[1]
    least = cost_of(plan_at(groups, _thresholds(groups)[-1], 1)) / total if groups else 1.0
    raise UsageError(
        f"macs: {fraction:g} of the multiply-accumulates cannot be reached; least possible is {least:.4g}",
        hint=f"ask for {least:.4g} or more, or take layers out of `ignore`",
    )


def plan_at(groups: Sequence[ChannelGroup], threshold: float, round_to: int) -> Plan:
    """Remove what scores at most `threshold`, with the number that stays rounded in each group."""
    history = []
    for group in groups:
        units = len(group.order)
        kept = sum(score > threshold for score in group.scores)
        count = units - _rounded(kept, units, max(1, round_to // group.repeats))
        if count:
            history.append((group.layer, True, group.removed(count)))
    return Plan(history=tuple(history), round_to=round_to)


def _rounded(kept: int, units: int, step: int) -> int:
    """The nearest multiple of `step`, within what a layer must keep and what it has.

    >>> [_rounded(kept, 32, 8) for kept in (0, 11, 12, 31, 32)]
    [8, 8, 16, 32, 32]
    """
    if kept == units:
        return units
    least = -(-max(1, LEAST * units) // step) * step
    return int(min(units, max(least, (kept + step // 2) // step * step)))


def _thresholds(groups: Sequence[ChannelGroup]) -> list[float]:
    return sorted({score for group in groups for score in group.scores})


def _bisect(
    groups: Sequence[ChannelGroup], cost_of: Callable[[Plan], int], limit: float, round_to: int
) -> tuple[int, Plan] | None:
    """The lowest threshold whose plan costs at most `limit`, and that cost; None when there is none."""
    thresholds = _thresholds(groups)
    low, high = 0, len(thresholds)
    best: tuple[int, Plan] | None = None
    costs: dict[History, int] = {}
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
