"""When schedulers step in a fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor
from torch.optim import SGD
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

from lifecycle.core.errors import UsageError
from tests.train.small import Plain, loader, quiet

Shape = Callable[[SGD], object]


def halving(**config: Any) -> Shape:
    def shape(optimizer: SGD) -> object:
        schedule = StepLR(optimizer, step_size=1, gamma=0.5)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, **config}}

    return shape


def plateau(monitor: str = "told", **config: Any) -> Shape:
    def shape(optimizer: SGD) -> object:
        schedule = ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "monitor": monitor, **config}}

    return shape


class Rated(Plain):
    """Writes down the learning rate of every step; logs a value for each epoch.

    Args:
        shape: Makes what `configure_optimizers` returns.
        told: The values.
    """

    def __init__(self, shape: Shape, told: tuple[float, ...] = ()) -> None:
        super().__init__()
        self.shape = shape
        self.told = told
        self.rates: list[float] = []

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        assert self.trainer is not None
        self.rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])
        if self.told:
            self.log("told", self.told[self.current_epoch], on_step=True, on_epoch=True)
        return self(batch[0]).sum() * 0  # type: ignore[no-any-return]

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("checked", float(len(self.rates)))

    def configure_optimizers(self) -> object:
        return self.shape(SGD(self.parameters(), lr=1.0))


def rates(
    shape: Shape, *, told: tuple[float, ...] = (), module: type[Rated] = Rated, **options: Any
) -> list[float]:
    """Learning rates of each step in three epochs of two batches."""
    made = module(shape, told)
    settings = {"max_epochs": 3, "limit_train_batches": 2, "num_sanity_val_steps": 0, **options}
    quiet(**settings).fit(made, loader(), loader())
    return made.rates


CONSTANT = [1.0] * 6
EACH_EPOCH = [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
EACH_STEP = [1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125]


@pytest.mark.parametrize(
    ("config", "options", "expected"),
    [
        ({}, {}, EACH_EPOCH),
        ({"interval": "epoch"}, {}, EACH_EPOCH),
        ({"interval": "step"}, {}, EACH_STEP),
        ({"frequency": 2}, {}, [1.0, 1.0, 1.0, 1.0, 0.5, 0.5]),
        ({"interval": "step", "frequency": 2}, {}, EACH_EPOCH),
        # Lightning counts batches within an epoch.
        ({"interval": "step", "frequency": 3}, {}, CONSTANT),
        ({"interval": "step"}, {"accumulate_grad_batches": 2}, EACH_EPOCH),
        # With the last batch, and before that is validated.
        ({}, {"val_check_interval": 1}, EACH_EPOCH),
        ({}, {"limit_val_batches": 0}, EACH_EPOCH),
    ],
)
def test_a_schedule_steps_with_epochs_or_optimizer_steps(
    config: Any, options: Any, expected: list[float]
) -> None:
    assert rates(halving(**config), **options) == expected


def test_an_epoch_that_is_cut_does_not_count() -> None:
    module = Rated(halving())
    quiet(max_epochs=-1, max_steps=3, limit_train_batches=2).fit(module, loader())
    assert module.rates == [1.0, 1.0, 0.5]
    assert module.trainer is not None
    assert module.trainer.optimizers[0].param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize("monitor", ["told", "told_epoch"])
def test_a_plateau_of_epochs_follows_a_metric_of_training(monitor: str) -> None:
    """After the epoch's metrics are reduced; the second value is no better than the first."""
    assert rates(plateau(monitor), told=(1.0, 1.0, 0.5)) == [1.0] * 4 + [0.5] * 2


def test_a_plateau_of_epochs_follows_a_metric_of_validation() -> None:
    """The number of batches so far never gets smaller."""
    assert rates(plateau("checked")) == [1.0] * 4 + [0.5] * 2


def test_a_plateau_of_steps_follows_what_a_step_logged() -> None:
    found = rates(plateau("told_step", interval="step"), told=(3.0, 2.0, 1.0))
    assert found == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]


def test_a_plateau_of_steps_comes_after_the_validation_that_it_follows() -> None:
    found = rates(plateau("checked", interval="step"), val_check_interval=1)
    assert found == [1.0, 1.0, 0.5, 0.25, 0.125, 0.0625]


def test_a_plateau_without_its_metric_is_an_error_that_names_those_logged() -> None:
    message = (
        r"^ReduceLROnPlateau follows 'tolt', which was not logged: did you mean 'told'\? "
        r"Allowed: checked, told, told_epoch, told_step\n"
    )
    with pytest.raises(UsageError, match=message):
        rates(plateau("tolt"), told=(1.0, 1.0, 1.0))


def test_a_plateau_that_is_not_strict_waits_for_its_metric() -> None:
    with pytest.warns(UserWarning, match=r"'never'.*; its learning rate stays$"):
        assert rates(plateau("never", strict=False)) == CONSTANT


def test_a_module_may_step_schedules_its_own_way() -> None:
    given: list[Any] = []

    class Twice(Rated):
        def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
            given.append((type(scheduler), metric))
            scheduler.step()
            scheduler.step()

    assert rates(halving(), module=Twice) == [1.0, 1.0, 0.25, 0.25, 0.0625, 0.0625]
    assert given == [(StepLR, None)] * 3
    given.clear()

    class Told(Rated):
        def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
            given.append((type(scheduler), float(metric)))

    assert rates(plateau("told"), told=(3.0, 2.0, 1.0), module=Told) == CONSTANT
    assert given == [(ReduceLROnPlateau, value) for value in (3.0, 2.0, 1.0)]


def test_in_manual_optimization_schedules_are_left_alone() -> None:
    class Manual(Rated):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            self.automatic_optimization = False

    assert rates(halving(interval="step"), module=Manual) == CONSTANT
