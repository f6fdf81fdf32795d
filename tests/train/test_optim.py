"""The shapes that ``configure_optimizers`` may return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import LBFGS, SGD, Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, ReduceLROnPlateau, StepLR

from lifecycle.core.errors import UsageError
from lifecycle.train.optim import (
    NoOptimizer,
    Schedule,
    clip_gradients,
    optimization,
    parameters_of,
    scheduler_states,
    wants_closure,
)

Shape = Callable[[SGD], object]


def sgd(count: int = 1) -> SGD:
    return SGD([nn.Parameter(torch.zeros(2)) for _ in range(count)], lr=1.0)


def halving(optimizer: Optimizer) -> StepLR:
    return StepLR(optimizer, step_size=1, gamma=0.5)


EPOCHS = {"interval": "epoch", "frequency": 1, "monitor": None, "strict": True, "name": None}


def options_of(schedule: Schedule) -> dict[str, Any]:
    return {name: getattr(schedule, name) for name in EPOCHS}


@pytest.mark.parametrize(
    ("shape", "schedules"),
    [
        (lambda o: o, []),
        (lambda o: [o], []),
        (lambda o: (o,), []),
        (lambda o: ([o], []), []),
        (lambda o: {"optimizer": o}, []),
        (lambda o: [{"optimizer": o}], []),
        (lambda o: ({"optimizer": o},), []),
        (lambda o: {"optimizer": o, "lr_scheduler": None}, []),
        (lambda o: ([o], [halving(o)]), [EPOCHS]),
        (lambda o: ([o], halving(o)), [EPOCHS]),
        (lambda o: [[o], [halving(o)]], [EPOCHS]),
        (lambda o: {"optimizer": o, "lr_scheduler": halving(o)}, [EPOCHS]),
        (lambda o: [{"optimizer": o, "lr_scheduler": halving(o)}], [EPOCHS]),
        (lambda o: {"optimizer": o, "lr_scheduler": {"scheduler": halving(o)}}, [EPOCHS]),
        (
            lambda o: {
                "optimizer": o,
                "lr_scheduler": {
                    "scheduler": halving(o),
                    "interval": "step",
                    "frequency": 3,
                    "name": "rate",
                    "monitor": "val_loss",
                    "strict": False,
                },
            },
            [{"interval": "step", "frequency": 3, "monitor": "val_loss", "strict": False, "name": "rate"}],
        ),
        (
            lambda o: ([o], [halving(o), {"scheduler": halving(o), "interval": "step"}]),
            [EPOCHS, {**EPOCHS, "interval": "step"}],
        ),
    ],
)
def test_every_shape_that_lightning_takes_is_taken(shape: Shape, schedules: list[dict[str, Any]]) -> None:
    optimizer = sgd()
    found = optimization(shape(optimizer))
    assert found.optimizers == (optimizer,)
    assert [options_of(schedule) for schedule in found.schedules] == schedules
    assert all(type(schedule.scheduler) is StepLR for schedule in found.schedules)
    assert not any(schedule.reduce_on_plateau for schedule in found.schedules)


@pytest.mark.parametrize(
    "shape",
    [
        lambda o, p: {"optimizer": o, "lr_scheduler": {"scheduler": p, "monitor": "val_loss"}},
        lambda o, p: {"optimizer": o, "lr_scheduler": p, "monitor": "val_loss"},
        lambda o, p: ([o], [{"scheduler": p, "monitor": "val_loss"}]),
    ],
)
def test_a_plateau_is_told_what_to_follow(shape: Any) -> None:
    optimizer = sgd()
    (schedule,) = optimization(shape(optimizer, ReduceLROnPlateau(optimizer))).schedules
    assert (schedule.monitor, schedule.reduce_on_plateau) == ("val_loss", True)


def test_another_schedule_may_be_called_a_plateau() -> None:
    optimizer = sgd()
    config = {"scheduler": halving(optimizer), "reduce_on_plateau": True, "monitor": "val_loss"}
    (schedule,) = optimization({"optimizer": optimizer, "lr_scheduler": config}).schedules
    assert schedule.reduce_on_plateau


def test_several_optimizers_are_for_manual_optimization() -> None:
    first, second = sgd(), sgd()
    for shape in (
        [first, second],
        (first, second),
        ([first, second], [halving(first), halving(second)]),
        [{"optimizer": first, "lr_scheduler": halving(first)}, {"optimizer": second}],
    ):
        assert optimization(shape, automatic=False).optimizers == (first, second)
        with pytest.raises(UsageError) as refused:
            optimization(shape)
        assert str(refused.value) == (
            "configure_optimizers returned 2 optimizers, and the trainer steps only one\n"
            "Set self.automatic_optimization = False in __init__ and step them in training_step."
        )
    assert optimization([], automatic=False).optimizers == ()


def test_a_module_that_steps_a_plateau_itself_need_not_say_what_it_follows() -> None:
    optimizer = sgd()
    (schedule,) = optimization(([optimizer], [ReduceLROnPlateau(optimizer)]), automatic=False).schedules
    assert schedule.monitor is None


def test_none_trains_nothing_and_says_so() -> None:
    with pytest.warns(UserWarning, match="^configure_optimizers returned None: this fit changes no weights$"):
        (optimizer,) = optimization(None).optimizers
    assert isinstance(optimizer, NoOptimizer)
    called: list[int] = []
    assert optimizer.step(lambda: called.append(1)) is None and called == [1]
    optimizer.step()
    optimizer.zero_grad()
    optimizer.load_state_dict({"anything": 1})
    assert optimizer.state_dict() == {}


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (lambda o: 3, "got int: configure_optimizers may return\n  - an optimizer, or a list or tuple of"),
        (lambda o: "adam", "got str: configure_optimizers may return"),
        (lambda o: [], "got no optimizer: configure_optimizers may return"),
        (lambda o: ([], []), "got no optimizer: configure_optimizers may return"),
        (lambda o: {}, "got a dictionary with nothing: configure_optimizers may return"),
        (lambda o: {"optimiser": o}, "got a dictionary with optimiser: configure_optimizers may return"),
        (lambda o: {"optimizer": "adam"}, "got a dictionary with optimizer: configure_optimizers may return"),
        (lambda o: (o, halving(o)), "got StepLR: configure_optimizers may return"),
        (lambda o: ([o], [3]), "got int as a scheduler: configure_optimizers may return"),
        (
            lambda o: {"optimizer": o, "lr_scheduler": {"interval": "step"}},
            "an lr_scheduler_config without 'scheduler': configure_optimizers may return",
        ),
        (
            lambda o: {"optimizer": o, "lr_scheduler": {"scheduler": halving(o), "interval": "batch"}},
            "lr_scheduler interval 'batch': allowed: epoch, step",
        ),
        (
            lambda o: {"optimizer": o, "lr_scheduler": {"scheduler": halving(o), "frequency": 0}},
            "lr_scheduler frequency 0: expected a whole number above 0",
        ),
        (
            lambda o: ([o], [ReduceLROnPlateau(o)]),
            'ReduceLROnPlateau follows a metric: return {"optimizer": ..., "lr_scheduler": '
            '{"scheduler": ..., "monitor": "val_loss"}}',
        ),
        (
            lambda o: ([o], [halving(sgd())]),
            "configure_optimizers returned a StepLR whose optimizer is not among the optimizers that it returned",
        ),
    ],
)
def test_any_other_shape_is_refused_with_those_allowed(shape: Shape, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        optimization(shape(sgd()))
    assert str(refused.value).startswith(message)
    if "may return" in message:
        assert str(refused.value).endswith('"monitor": "val_loss",\n   "strict": True, "name": "lr"}')


def test_what_a_schedule_does_not_know_is_left_out_with_a_warning() -> None:
    optimizer = sgd()
    config = {"scheduler": halving(optimizer), "intervall": "step"}
    told = r"^lr_scheduler_config has no 'intervall', which is left out: did you mean 'interval'\?"
    with pytest.warns(UserWarning, match=told):
        (schedule,) = optimization({"optimizer": optimizer, "lr_scheduler": config}).schedules
    assert schedule.interval == "epoch"


def test_one_cycle_of_epochs_is_doubted() -> None:
    optimizer = sgd()
    cycle = OneCycleLR(optimizer, max_lr=1.0, total_steps=9)
    with pytest.warns(UserWarning, match="^a OneCycleLR steps with every epoch; it is usually meant to"):
        optimization({"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle}})
    optimization({"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}})


def test_schedules_keep_their_states() -> None:
    optimizer = sgd()
    found = optimization(([optimizer], [halving(optimizer)]))
    optimizer.step()
    found.schedules[0].scheduler.step()
    (state,) = scheduler_states(found.schedules)
    assert (state["last_epoch"], state["_last_lr"]) == (1, [0.5])


def test_gradients_are_clipped_by_norm_or_value() -> None:
    def clipped(*options: Any) -> list[float]:
        optimizer = sgd(2)
        for parameter in parameters_of(optimizer):
            parameter.grad = torch.tensor([3.0, -4.0])
        clip_gradients(optimizer, *options)
        return [float(value) for parameter in parameters_of(optimizer) for value in parameter.grad]  # type: ignore[union-attr]

    whole = [3.0, -4.0] * 2
    assert clipped(None, "norm") == clipped(0, "norm") == clipped(99.0, "value") == whole
    assert clipped(3.5, "value") == [3.0, -3.5] * 2
    # Both together have the norm of sqrt(50).
    assert clipped(1.0, "norm") == pytest.approx([value / 50**0.5 for value in whole], rel=1e-5)
    with pytest.raises(UsageError, match=r"^gradient_clip_algorithm 'max': "):
        clipped(1.0, "max")


class Own(SGD):
    pass


def test_who_may_call_the_step_itself() -> None:
    weights = [nn.Parameter(torch.zeros(1))]
    assert not wants_closure(SGD(weights)) and not wants_closure(Adam(weights))
    assert wants_closure(LBFGS(weights)) and wants_closure(Own(weights))


class Custom:
    """A schedule that is not torch's."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer

    def step(self, metric: object = None) -> None:
        raise NotImplementedError

    def state_dict(self) -> dict[str, object]:
        return {}

    def load_state_dict(self, state_dict: object) -> None:
        raise NotImplementedError


def test_anything_with_a_step_and_a_state_is_a_schedule() -> None:
    """Lightning wants `lr_scheduler_step` to be overridden for it."""
    optimizer = sgd()
    (schedule,) = optimization({"optimizer": optimizer, "lr_scheduler": Custom(optimizer)}).schedules
    assert not isinstance(schedule.scheduler, LRScheduler)
