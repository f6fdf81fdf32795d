from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import StepLR

from lifecycle.train.optimizer import ModuleOptimizer
from tests.train.small import Plain, quiet


def wrapped() -> tuple[ModuleOptimizer, SGD, list[Any]]:
    """An optimizer as a module sees it, the one within, and the steps that were asked for."""
    module, asked = Plain(), list[Any]()
    inner = SGD(module.parameters(), lr=0.1, momentum=0.9)

    def step(optimizer: Optimizer, closure: Any = None, **options: Any) -> str:
        asked.append((optimizer, closure, options))
        return "stepped"

    return ModuleOptimizer(inner, module, step), inner, asked


def test_a_step_goes_where_it_was_told() -> None:
    optimizer, inner, asked = wrapped()
    assert optimizer.step() == "stepped"
    assert optimizer.step(closure=print, fast=True) == "stepped"
    assert asked == [(inner, None, {}), (inner, print, {"fast": True})]


def test_it_is_an_optimizer_by_type_and_shares_everything() -> None:
    optimizer, inner, _ = wrapped()
    assert isinstance(optimizer, Optimizer)
    assert optimizer.optimizer is inner
    assert optimizer.param_groups is inner.param_groups
    assert optimizer.state is inner.state and optimizer.defaults is inner.defaults
    optimizer.param_groups[0]["lr"] = 0.5
    assert inner.param_groups[0]["lr"] == 0.5
    assert optimizer.state_dict() == inner.state_dict()
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))]})
    assert len(inner.param_groups) == 2
    assert repr(optimizer).startswith("ModuleOptimizer(SGD (")
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = optimizer.nothing_like_it


def test_gradients_are_cleared() -> None:
    optimizer, inner, _ = wrapped()
    parameters = [p for group in inner.param_groups for p in group["params"]]
    for set_to_none in (False, True):
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        optimizer.zero_grad(set_to_none=set_to_none)
        assert all((p.grad is None) if set_to_none else not p.grad.any() for p in parameters)


def test_a_state_is_taken_back() -> None:
    optimizer, inner, _ = wrapped()
    saved = copy.deepcopy(inner.state_dict())
    inner.param_groups[0]["lr"] = 0.7
    optimizer.load_state_dict(saved)
    assert inner.param_groups[0]["lr"] == 0.1


def test_a_schedule_takes_it_for_an_optimizer() -> None:
    optimizer, inner, _ = wrapped()
    schedule = StepLR(optimizer, step_size=1, gamma=0.5)
    optimizer.step()
    schedule.step()
    assert inner.param_groups[0]["lr"] == 0.05


def test_only_its_parameters_take_gradients_for_a_while() -> None:
    class Two(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False
            self.seen: list[tuple[bool, bool]] = []

        def training_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
            first, _ = self.optimizers()
            with first.toggle_model():
                self.note()
            self.note()

        def note(self) -> None:
            self.seen.append((self.net[0].weight.requires_grad, self.net[3].weight.requires_grad))

        def configure_optimizers(self) -> object:
            return [SGD(self.net[0].parameters(), lr=0.1), SGD(self.net[3].parameters(), lr=0.1)]

    module = Two()
    quiet(limit_train_batches=1).fit(module, [[torch.ones(1, 4), torch.ones(1, 1)]])
    assert module.seen == [(True, False), (True, True)]


def test_it_is_not_written_to_a_file_with_its_module() -> None:
    optimizer, inner, _ = wrapped()
    assert optimizer.__getstate__() == inner.__getstate__()
    assert pickle.loads(pickle.dumps(inner)).defaults == inner.defaults  # the wrapped one may be copied
