from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import lifecycle as pl
from lifecycle.core.errors import UsageError
from tests.train.small import Plain, Recorder, Regression, loader, quiet, same, seeded


class Watching(Regression):
    """Keeps which parts are in training mode, and whether gradients are taken, in every step."""

    def __init__(self) -> None:
        super().__init__()
        self.net[0].eval()  # frozen by its user
        self.modes: list[tuple[bool, ...]] = []

    def see(self) -> None:
        self.modes.append(
            (self.training, self.net[0].training, self.net[2].training, torch.is_grad_enabled())
        )

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        self.see()
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.see()

    test_step = validation_step

    def predict_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.see()


TRAINING = (True, False, True, True)
SCORING = (False, False, False, False)


def test_validation_scores_without_gradients_and_gives_every_part_its_mode_back() -> None:
    module = Watching()
    quiet(max_epochs=2, limit_train_batches=1, limit_val_batches=1).fit(module, loader(), loader())
    sanity = [SCORING]
    assert module.modes == [*sanity, TRAINING, SCORING, TRAINING, SCORING]
    assert [part.training for part in (module, module.net[0], module.net[2])] == [True, False, True]


@pytest.mark.parametrize("verb", ["validate", "test", "predict"])
def test_a_pass_of_its_own_gives_every_part_its_mode_back(verb: str) -> None:
    module = Watching()
    getattr(quiet(**{f"limit_{verb[:3] if verb == 'validate' else verb}_batches": 1}), verb)(module, loader())
    assert module.modes == [SCORING]
    assert [part.training for part in (module, module.net[0], module.net[2])] == [True, False, True]


def test_modes_come_back_when_a_step_fails() -> None:
    class Broken(Watching):
        def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
            raise RuntimeError

    module = Broken()
    with pytest.raises(RuntimeError):
        quiet().validate(module, loader())
    assert [part.training for part in (module, module.net[0], module.net[2])] == [True, False, True]


def test_validation_changes_nothing_that_training_depends_on() -> None:
    alone, validated = seeded(), seeded()
    quiet(max_epochs=3).fit(alone, loader(shuffle=True))
    validated = seeded()
    quiet(max_epochs=3).fit(validated, loader(shuffle=True), loader(shuffle=True))
    assert same(validated.state_dict(), alone.state_dict())


@pytest.mark.parametrize("verb", ["validate", "test"])
def test_a_missing_step_says_what_to_write(verb: str) -> None:
    kind = {"validate": "validation", "test": "test"}[verb]
    with pytest.raises(UsageError) as caught:
        getattr(quiet(), verb)(pl.Module(), loader())
    assert caught.value.message == f"Module defines no {kind}_step"
    assert caught.value.hint == f"Write `def {kind}_step(self, batch, batch_idx)` and log a metric."


def test_metrics_of_an_own_pass_go_to_the_logger_and_stay_with_the_trainer() -> None:
    recorder = Recorder()
    trainer, module = quiet(logger=recorder), Plain()
    (metrics,) = trainer.test(module, loader())
    assert recorder.sent == [(0, {"test_loss": metrics["test_loss"], "epoch": 0.0})]
    assert float(trainer.callback_metrics["test_loss"]) == metrics["test_loss"]
    trainer.fit(module, loader())
    recorder.sent.clear()
    (metrics,) = trainer.test(module, loader())
    assert recorder.sent == [(6, {"test_loss": metrics["test_loss"], "epoch": 1.0})]


def test_what_a_step_logs_at_once_has_names_of_its_own() -> None:
    class Steps(Plain):
        def test_step(self, batch: list[Tensor], batch_idx: int) -> None:
            self.log("index", float(batch_idx), on_step=True, on_epoch=True, batch_size=1)
            self.log("hidden", 1.0, logger=False, batch_size=1)

    recorder = Recorder()
    trainer = quiet(logger=recorder)
    assert trainer.test(Steps(), loader()) == [{"index_epoch": 2.5}]
    assert [(step, sent["index_step"]) for step, sent in recorder.sent if "index_step" in sent] == [
        (index, float(index)) for index in range(6)
    ]
    assert set(trainer.callback_metrics) == {"index", "index_epoch", "hidden"}


def test_a_fit_is_preceded_by_two_batches_of_validation_that_leave_no_trace() -> None:
    told: list[object] = []

    class Watch(pl.Callback):
        def on_sanity_check_start(self, trainer: pl.Trainer, pl_module: pl.Module) -> None:
            told.append("start")

        def on_validation_batch_end(self, trainer: pl.Trainer, pl_module: Any, *given: Any) -> None:
            told.append((trainer.sanity_checking, given[2]))

        def on_sanity_check_end(self, trainer: pl.Trainer, pl_module: pl.Module) -> None:
            told.append("end")

        def on_train_start(self, trainer: pl.Trainer, pl_module: pl.Module) -> None:
            told.append(dict(trainer.callback_metrics))

    recorder = Recorder()
    quiet(callbacks=Watch(), logger=recorder, limit_val_batches=3).fit(Plain(), loader(), loader())
    assert told == ["start", (True, 0), (True, 1), "end", {}, (False, 0), (False, 1), (False, 2)]
    assert [step for step, sent in recorder.sent if "val_loss" in sent] == [5]


def test_the_check_before_a_fit_can_be_left_out_or_be_a_whole_validation() -> None:
    counts = []
    for wanted in (0, 1, -1):
        module = Watching()
        options = {"num_sanity_val_steps": wanted, "limit_train_batches": 1, "check_val_every_n_epoch": 2}
        quiet(**options).fit(module, loader(), loader())
        counts.append(module.modes.count(SCORING))
    assert counts == [0, 1, 6]
