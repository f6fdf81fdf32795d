from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import lifecycle as pl
from lifecycle.core.errors import UsageError
from tests.train.small import Plain, Regression, loader, quiet, same, seeded


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
    assert module.modes == [TRAINING, SCORING, TRAINING, SCORING]
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
    with pytest.raises(
        UsageError,
        match=rf"^Module defines no {kind}_step; add `def {kind}_step\(self, batch, batch_idx\): …` and log a metric$",
    ):
        getattr(quiet(), verb)(pl.Module(), loader())


def test_metrics_of_an_own_pass_go_to_the_logger_and_stay_with_the_trainer() -> None:
    sent: list[Any] = []

    class Tracker:
        def log_metrics(self, metrics: Any, step: int | None = None) -> None:
            sent.append(dict(metrics))

    trainer = quiet(logger=Tracker())
    (metrics,) = trainer.test(Plain(), loader())
    assert sent == [{"test_loss": metrics["test_loss"], "epoch": 0.0}]
    assert float(trainer.callback_metrics["test_loss"]) == metrics["test_loss"]
