"""An overridden `optimizer_step` has to run the closure that computes gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

import lifecycle as pl
from lifecycle.core.errors import UsageError
from tests.train.small import quiet


class Weight(pl.Module):
    """Two weights whose gradient is the batch; its optimizer steps do nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return (self.weight * batch).sum()

    def configure_optimizers(self) -> object:
        return SGD([self.weight], lr=1.0)

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None
    ) -> None:
        if batch_idx == 0:
            optimizer.step(closure=optimizer_closure)


def test_a_step_without_gradients_is_an_error() -> None:
    module, trainer = Weight(), quiet()
    with pytest.raises(UsageError) as caught:
        trainer.fit(module, [torch.ones(2)] * 2)
    assert caught.value.message == (
        "Weight.optimizer_step with SGD did not run optimizer_closure, which computes the gradients"
    )
    assert caught.value.hint == "Call optimizer.step(closure=optimizer_closure) in it."
    assert trainer.global_step == 1
    assert module.weight.tolist() == [-1.0, -1.0]


def test_steps_that_only_gather_gradients_do_not_need_it() -> None:
    module, trainer = Weight(), quiet(accumulate_grad_batches=2)
    with pytest.raises(UsageError, match="did not run optimizer_closure"):
        trainer.fit(module, [torch.ones(2)] * 2)
    assert trainer.global_step == 0
    assert module.weight.grad is not None
    assert module.weight.grad.tolist() == [0.5, 0.5]
