from __future__ import annotations

import time
from typing import Any

import pytest

from lifecycle.train.plan import Plan
from lifecycle.train.state import FitState


def state(**counts: Any) -> FitState:
    return FitState(**counts)


@pytest.mark.parametrize(
    ("accumulate", "steps"), [(1, [0, 1, 2, 3, 4]), (2, [1, 3, 4]), (3, [2, 4]), (5, [4]), (9, [4])]
)
def test_the_optimizer_steps_with_the_last_batch_of_a_window_and_of_the_epoch(
    accumulate: int, steps: list[int]
) -> None:
    plan = Plan(accumulate=accumulate)
    assert [index for index in range(5) if plan.steps(index, last=index == 4)] == steps


@pytest.mark.parametrize(("every", "logged"), [(0, []), (1, [0, 1, 2, 3, 4, 5]), (2, [1, 3, 5]), (4, [3])])
def test_every_nth_step_is_logged(every: int, logged: list[int]) -> None:
    plan = Plan(log_every_n_steps=every)
    assert [step for step in range(6) if plan.logs(state(stepped=step))] == logged
    # When somebody asked to stop there may be no further one; 0 means never.
    assert plan.logs(state(stepped=0, should_stop=True)) is (every > 0)


def due(plan: Plan, batches: int = 6, epochs: int = 2, **counts: Any) -> list[tuple[int, int]]:
    """After which batches of which epochs a validation is due."""
    return [
        (epoch, index)
        for epoch in range(epochs)
        for index in range(batches)
        if plan.validation_due(
            state(
                epoch=epoch,
                batch=index + 1,
                batches_seen=epoch * batches + index + 1,
                last=index + 1 == batches,
                **counts,
            )
        )
    ]


def test_validation_comes_at_the_end_of_an_epoch() -> None:
    assert due(Plan(validates=True)) == [(0, 5), (1, 5)]
    assert due(Plan(validates=False)) == []


def test_validation_comes_in_every_nth_epoch() -> None:
    assert due(Plan(validates=True, every_n_epochs=2), epochs=5) == [(1, 5), (3, 5)]
    assert [Plan(every_n_epochs=3).validates_epoch(state(epoch=epoch)) for epoch in range(4)] == [
        *(False, False, True, False)
    ]


def test_validation_comes_after_every_nth_batch_of_an_epoch() -> None:
    assert due(Plan(validates=True, every_n_batches=4)) == [(0, 3), (1, 3)]
    both = Plan(validates=True, every_n_batches=3, every_n_epochs=2)
    assert due(both, epochs=3) == [(1, 2), (1, 5)]


def test_validation_comes_after_every_nth_batch_of_all() -> None:
    assert due(Plan(validates=True, every_n_batches=4, every_n_epochs=None)) == [(0, 3), (1, 1), (1, 5)]


def test_validation_comes_by_the_clock() -> None:
    plan = Plan(validates=True, every_s=3600.0, validated_at=time.monotonic())
    assert due(plan) == []
    plan.validated_at -= 3600.0
    assert len(due(plan)) == 12
    plan.every_n_epochs = 2
    assert due(plan) == [(1, index) for index in range(6)]


def test_a_request_to_stop_asks_for_a_validation_once_it_may_stop() -> None:
    plan = Plan(validates=True, every_n_batches=4)
    assert due(plan, should_stop=True) == [(epoch, index) for epoch in range(2) for index in range(6)]
    plan.min_epochs = 1
    assert due(plan, should_stop=True)[:3] == [(0, 3), (1, 0), (1, 1)]


@pytest.mark.parametrize(
    ("plan", "at", "may"),
    [
        (Plan(), state(), True),
        (Plan(min_epochs=2), state(epoch=1), False),
        (Plan(min_epochs=2), state(epoch=2), True),
        (Plan(min_steps=5), state(global_step=4), False),
        (Plan(min_steps=5), state(global_step=5), True),
        (Plan(min_epochs=1, min_steps=5), state(epoch=1, global_step=4), False),
        (Plan(min_epochs=1, min_steps=5), state(epoch=0, global_step=9), False),
        (Plan(min_epochs=1, min_steps=5), state(epoch=1, global_step=5), True),
    ],
)
def test_nobody_stops_a_fit_before_its_least_epochs_and_steps(plan: Plan, at: FitState, may: bool) -> None:
    assert plan.may_stop(at) is may
    at.should_stop = True
    assert plan.stops(at) is may
    assert plan.done(at) is may


@pytest.mark.parametrize(
    ("plan", "at", "done"),
    [
        (Plan(max_epochs=2), state(epoch=1), False),
        (Plan(max_epochs=2), state(epoch=2), True),
        (Plan(max_epochs=0), state(), True),
        (Plan(max_epochs=None), state(epoch=10**6, global_step=10**9), False),
        (Plan(max_epochs=None, max_steps=5), state(global_step=4), False),
        (Plan(max_epochs=None, max_steps=5), state(global_step=5), True),
        (Plan(max_steps=0), state(), True),
        (Plan(num_batches=0), state(), True),
        (Plan(num_batches=None), state(), False),
    ],
)
def test_a_fit_is_done_at_a_limit(plan: Plan, at: FitState, done: bool) -> None:
    assert plan.done(at) is done
