from __future__ import annotations

import pytest

from lifecycle.compress.groups import ChannelGroup, told_apart
from lifecycle.compress.plan import Plan, plan_at, search_plan
from lifecycle.compress.target import Target
from lifecycle.core.errors import UsageError


def group(layer: str, *scores: float, repeats: int = 1) -> ChannelGroup:
    count = len(scores)
    units = tuple(tuple(range(unit, count * repeats, count)) for unit in range(count))
    return ChannelGroup(layer=layer, units=units, scores=scores, full=count)


def removed(plan: Plan) -> dict[str, int]:
    return {name: len(indices) for name, _, indices in plan.history}


def test_one_threshold_ranks_the_channels_of_all_layers() -> None:
    groups = [group("a", 1, 2, 3, 4), group("b", 3, 4, 5, 6)]
    assert removed(plan_at(groups, 3, 1)) == {"a": 3, "b": 1}


def test_a_layer_keeps_a_tenth_whatever_the_threshold() -> None:
    assert removed(plan_at([group("a", *range(40))], 1e9, 1)) == {"a": 36}
    assert removed(plan_at([group("a", *range(40))], 1e9, 8)) == {"a": 32}


def test_grouped_layers_lose_as_many_in_each_part() -> None:
    plan = plan_at([group("a", 1, 2, 3, 4, repeats=2)], 2, 1)
    assert plan.history == (("a", True, (0, 1, 4, 5)),)


def kept(plan: Plan) -> float:
    return 1 - sum(removed(plan).values()) / 64


def test_the_target_is_met_from_below_as_closely_as_channels_allow() -> None:
    groups = [group("a", *range(64))]
    for target in (0.9, 0.5, 0.3, 0.15):
        plan = search_plan(groups, kept, Target(macs=target), round_to=1)
        assert kept(plan) == int(64 * target) / 64


def test_the_multiple_is_kept_where_it_lands_close_and_halved_where_it_does_not() -> None:
    groups = [group("a", *range(64))]
    assert search_plan(groups, kept, Target(macs=0.5), round_to=8).round_to == 8
    close = search_plan(groups, kept, Target(macs=0.23), round_to=8)
    assert (kept(close), close.round_to) == (14 / 64, 2)


def test_a_target_out_of_reach_is_refused_with_the_least_possible() -> None:
    with pytest.raises(UsageError, match=r"0\.05 of the .* cannot be reached; least possible is 0\.1094"):
        search_plan([group("a", *range(64))], kept, Target(macs=0.05), round_to=8)


def test_what_earlier_steps_left_keeps_a_tenth_of_what_there_was() -> None:
    units = tuple((index,) for index in range(10))
    late = ChannelGroup(layer="a", units=units, scores=tuple(map(float, range(10))), full=40)
    assert removed(plan_at([late], 1e9, 1)) == {"a": 6}


def test_equal_scores_go_in_turn_and_not_at_once() -> None:
    groups = told_apart([group("a", 1, 1, 1, 1), group("b", 1, 1, 1, 1)])
    assert removed(plan_at(groups, 3, 1)) == {"a": 2, "b": 2}
