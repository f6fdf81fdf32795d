from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import SGD
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

from lifecycle.train.optim import optimization
from tests.train.small import Plain, loader, quiet

Shape = Callable[[SGD], object]


def halving(optimizer: SGD) -> StepLR:
    return StepLR(optimizer, step_size=1, gamma=0.5)


class Shaped(Plain):
    """Returns an optimizer in some shape, and writes down the learning rate of every step."""

    def __init__(self, shape: Shape, losses: tuple[float, ...] = ()) -> None:
        super().__init__()
        self.shape = shape
        self.losses = losses
        self.rates: list[float] = []

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        assert self.trainer is not None
        self.rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])
        if self.losses:
            self.log("told", self.losses[self.current_epoch], on_step=False, on_epoch=True)
        return super().training_step(batch, batch_idx)

    def configure_optimizers(self) -> object:
        return self.shape(SGD(self.parameters(), lr=1.0))


def rates(shape: Shape, *, losses: tuple[float, ...] = (), epochs: int = 3, **options: Any) -> list[float]:
    """Learning rates of 2 batches in each epoch."""
    module = Shaped(shape, losses)
    quiet(max_epochs=epochs, limit_train_batches=2, **options).fit(module, loader(), loader())
    return module.rates


CONSTANT = [1.0] * 6
EACH_EPOCH = [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
EACH_STEP = [1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (lambda o: o, CONSTANT),
        (lambda o: [o], CONSTANT),
        (lambda o: (o,), CONSTANT),
        (lambda o: ([o], []), CONSTANT),
        (lambda o: {"optimizer": o}, CONSTANT),
        (lambda o: ([o], [halving(o)]), EACH_EPOCH),
        (lambda o: [[o], [halving(o)]], EACH_EPOCH),
        (lambda o: ([o], [{"scheduler": halving(o), "interval": "step"}]), EACH_STEP),
        (lambda o: {"optimizer": o, "lr_scheduler": halving(o)}, EACH_EPOCH),
        (lambda o: {"optimizer": o, "lr_scheduler": {"scheduler": halving(o)}}, EACH_EPOCH),
        (
            lambda o: {"optimizer": o, "lr_scheduler": {"scheduler": halving(o), "interval": "step"}},
            EACH_STEP,
        ),
        (
            lambda o: {
                "optimizer": o,
                "lr_scheduler": {"scheduler": halving(o), "frequency": 2, "name": "lr"},
            },
            [1.0, 1.0, 1.0, 1.0, 0.5, 0.5],
        ),
        (
            lambda o: {
                "optimizer": o,
                "lr_scheduler": {"scheduler": halving(o), "interval": "step", "frequency": 2},
            },
            EACH_EPOCH,
        ),
        (
            lambda o: ([o], [halving(o), {"scheduler": halving(o), "interval": "step"}]),
            [1.0, 0.5, 0.125, 0.0625, 0.015625, 0.0078125],
        ),
    ],
)
def test_every_shape_that_lightning_takes_is_taken(shape: Shape, expected: list[float]) -> None:
    assert rates(shape) == expected


def test_schedules_of_steps_follow_the_optimizer_when_gradients_are_accumulated() -> None:
    def shape(optimizer: SGD) -> object:
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": halving(optimizer), "interval": "step"}}

    assert rates(shape, accumulate_grad_batches=2) == EACH_EPOCH


def plateau(monitor: str = "told", **more: Any) -> Shape:
    def shape(optimizer: SGD) -> object:
        scheduler = ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": monitor, **more}}

    return shape


def test_a_plateau_follows_a_metric_of_training() -> None:
    assert rates(plateau(), losses=(3.0, 2.0, 2.0, 2.0), epochs=4) == [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5]


def test_a_plateau_follows_a_metric_of_validation() -> None:
    class Worse(Shaped):
        def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
            self.log("val_loss", float(self.current_epoch))

    module = Worse(plateau("val_loss"))
    quiet(max_epochs=4, limit_train_batches=1).fit(module, loader(), loader())
    assert module.rates == [1.0, 1.0, 0.5, 0.25]


def test_a_plateau_without_its_metric_is_an_error_that_names_those_logged() -> None:
    with pytest.raises(
        ValueError,
        match=r"^ReduceLROnPlateau follows 'val_los', which nobody logged; logged: told, .*val_loss$",
    ):
        rates(plateau("val_los"), losses=(1.0,))


def test_a_plateau_that_is_not_strict_waits_for_its_metric() -> None:
    assert rates(plateau("never", strict=False)) == CONSTANT


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (lambda o: 3, r"^got int: configure_optimizers may return\n  - an optimizer, "),
        (lambda o: {}, r"^got dict: configure_optimizers may return"),
        (lambda o: {"optimizer": "adam"}, r"^got dict: configure_optimizers may return"),
        (lambda o: [o, o], r"^got \['SGD', 'SGD'\]: configure_optimizers may return"),
        (lambda o: ([o, o], []), r"^got \['SGD', 'SGD'\]: configure_optimizers may return"),
        (lambda o: ([], []), r"^got \[\]: configure_optimizers may return"),
        (lambda o: ([o], [3]), r"^got int as a scheduler: configure_optimizers may return"),
        (lambda o: {"optimizer": o, "lr_scheduler": {"interval": "step"}}, r"^got dict as a scheduler: "),
        (
            lambda o: {"optimizer": o, "lr_scheduler": {"scheduler": halving(o), "intervall": "step"}},
            r"^lr_scheduler_config has no 'intervall': did you mean 'interval'\? Allowed: frequency, interval, ",
        ),
        (
            lambda o: {"optimizer": o, "lr_scheduler": {"scheduler": halving(o), "interval": "batch"}},
            r"^lr_scheduler interval 'batch': allowed: epoch, step$",
        ),
        (
            lambda o: ([o], [ReduceLROnPlateau(o)]),
            r"^ReduceLROnPlateau follows a metric: return \{\"optimizer\": ..., \"lr_scheduler\": "
            r"\{\"scheduler\": ..., \"monitor\": \"val_loss\"\}\}$",
        ),
    ],
)
def test_any_other_shape_is_refused_with_those_allowed(shape: Shape, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        optimization(shape(SGD([torch.zeros(1, requires_grad=True)], lr=1.0)))
