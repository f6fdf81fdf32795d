from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import lifecycle as pl
from lifecycle.callbacks import GradientAccumulationScheduler
from lifecycle.core.errors import UsageError
from tests.train.callbacks.disturbed import both, differences
from tests.train.small import Plain, Regression, loader, quiet, same, seeded


class Steps(pl.Callback):
    """Optimizer steps at the end of each epoch."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.Module) -> None:
        self.seen.append((trainer.accumulate_grad_batches, trainer.global_step))


def test_each_epoch_has_its_window() -> None:
    steps = Steps()
    trainer = quiet(max_epochs=4, callbacks=[GradientAccumulationScheduler({1: 2, 3: 4}), steps])
    trainer.fit(Plain(), loader())  # of 6 batches
    assert steps.seen == [(1, 6), (2, 9), (2, 12), (4, 14)]


def test_a_window_is_the_trainers(tmp_path: Path) -> None:
    modules = [seeded(Plain), seeded(Plain)]
    quiet(max_epochs=2, callbacks=[GradientAccumulationScheduler({0: 3})]).fit(modules[0], loader())
    quiet(max_epochs=2, accumulate_grad_batches=3).fit(modules[1], loader())
    assert same(modules[0].state_dict(), modules[1].state_dict())


def test_the_trainer_is_left_as_it_was() -> None:
    trainer = quiet(max_epochs=1, callbacks=[GradientAccumulationScheduler({0: 3})])
    trainer.fit(Plain(), loader())
    assert trainer.accumulate_grad_batches == 1
    trainer.fit_loop.max_epochs = 2
    trainer.fit(Plain(), loader())
    assert trainer.global_step == 4
    trainer.fit_loop.max_epochs = 3

    class Broken(Plain):
        def on_train_batch_end(self, *_: Any) -> None:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        trainer.fit(Broken(), loader())
    assert trainer.accumulate_grad_batches == 1


def test_it_is_not_combined_with_the_trainers_own() -> None:
    trainer = quiet(accumulate_grad_batches=4, callbacks=[GradientAccumulationScheduler({0: 2})])
    with pytest.raises(UsageError, match=r"accumulate_grad_batches=4 and a GradientAccumulationScheduler"):
        trainer.fit(Plain(), loader())
    assert trainer.accumulate_grad_batches == 4


def test_nor_with_manual_optimization() -> None:
    class Manual(Plain):
        automatic_optimization = False

    with pytest.raises(UsageError, match="automatic optimization only"):
        quiet(callbacks=[GradientAccumulationScheduler({0: 2})]).fit(Manual(), loader())


def test_overridden_steps_are_warned_of() -> None:
    class Own(Plain):
        def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
            super().optimizer_step(*args, **kwargs)

    with pytest.warns(UserWarning, match="Own overrides optimizer_step or optimizer_zero_grad"):
        quiet(callbacks=[GradientAccumulationScheduler({0: 2})]).fit(Own(), loader())
    quiet(callbacks=[GradientAccumulationScheduler({0: 1})]).fit(Own(), loader())


@pytest.mark.parametrize(
    ("scheduling", "message"),
    [
        ({}, "got no epochs"),
        ({-1: 2}, "epoch -1 is no whole number"),
        ({"0": 2}, "epoch '0' is no whole number"),
        ({1: 0}, "0 batches from epoch 1 on"),
        ({1: 2.0}, "2.0 batches from epoch 1 on"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(scheduling: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        GradientAccumulationScheduler(scheduling)


def test_what_is_given_stays_as_it_is() -> None:
    given = {4: 2}
    scheduler = GradientAccumulationScheduler(given)
    assert given == {4: 2}
    assert [scheduler.get_accumulate_grad_batches(epoch) for epoch in (0, 3, 4, 9)] == [1, 1, 2, 2]
    assert scheduler.going_to_accumulate_grad_batches()
    assert not GradientAccumulationScheduler({3: 1}).going_to_accumulate_grad_batches()


@pytest.mark.parametrize("before", [7, 9, 12])
def test_a_resumed_fit_goes_on_with_the_window_of_its_epoch(tmp_path: Path, before: int) -> None:
    class Unscheduled(Regression):
        def configure_optimizers(self) -> Any:
            return Plain.configure_optimizers(self)  # type: ignore[arg-type]

        lr = 0.05

    whole, parts = both(
        tmp_path,
        lambda: [GradientAccumulationScheduler({1: 3, 2: 2})],
        lambda: seeded(Unscheduled),
        before=before,
        max_epochs=3,
    )
    assert whole.global_step == 6 + 2 + 3
    assert differences(whole, parts) == []
