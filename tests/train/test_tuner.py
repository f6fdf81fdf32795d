from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch

import lifecycle as pl
from lifecycle.callbacks import BatchSizeFinder, LearningRateFinder
from lifecycle.core.errors import UsageError
from lifecycle.tuner import Tuner
from tests.train.callbacks.test_batch_size_finder import Data, Limited
from tests.train.small import Plain, Recorder, Regression, loader, quiet, same, seeded


class Watching(pl.Callback):
    """Which hooks were called."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def setup(self, trainer: pl.Trainer, pl_module: pl.Module, stage: str) -> None:
        self.seen.append(f"setup {stage}")

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.Module) -> None:
        self.seen.append("fit")

    def on_train_batch_end(self, *_: Any) -> None:
        self.seen.append("batch")

    def on_train_end(self, *_: Any) -> None:
        self.seen.append("end")

    def on_exception(self, *_: Any) -> None:
        self.seen.append("exception")


class Ended(Recorder):
    """A logger that notes how its runs ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: list[str] = []

    def finalize(self, status: str) -> None:
        self.ended.append(status)


def everything_random() -> str:
    return str((torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()))


def test_the_learning_rate_is_set_and_nothing_else_is_changed() -> None:
    module, untouched = seeded(Plain), seeded(Plain)
    watching, recorder = Watching(), Ended()
    trainer = quiet(max_epochs=2, callbacks=[watching], logger=recorder)
    callbacks, generators = trainer.callbacks, everything_random()
    finder = Tuner(trainer).lr_find(module, loader(shuffle=True, batch_size=11), num_training=30)
    assert finder is not None and len(finder.results["loss"]) == 30
    assert module.lr == finder.suggestion()
    assert same(module.state_dict(), untouched.state_dict())
    assert recorder.ended == []
    assert everything_random() == generators
    assert (trainer.global_step, trainer.current_epoch, trainer.should_stop) == (0, 0, False)
    assert watching.seen == ["setup fit"] and recorder.sent == []
    assert trainer.callbacks is callbacks and trainer.loggers == [recorder]


def test_a_fit_after_it_is_one_that_knew_the_rate() -> None:
    module = seeded(Plain)
    trainer = quiet(max_epochs=2)
    Tuner(trainer).lr_find(module, loader(shuffle=True, batch_size=11), num_training=30)
    assert module.lr != 0.05
    trainer.fit(module, loader(shuffle=True))
    knowing = seeded(Plain, lr=module.lr)
    quiet(max_epochs=2).fit(knowing, loader(shuffle=True))
    assert same(module.state_dict(), knowing.state_dict())


def test_the_attribute_can_be_left_alone() -> None:
    module = seeded(Plain)
    Tuner(quiet()).lr_find(module, loader(), num_training=20, update_attr=False)
    assert module.lr == 0.05


def test_the_attribute_may_have_another_name_and_be_a_hyperparameter() -> None:
    class Other(Plain):
        def __init__(self, rate: float = 0.5) -> None:
            super().__init__()
            self.save_hyperparameters()
            del self.lr

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=self.hparams["rate"])

    module = Other()
    finder = Tuner(quiet()).lr_find(module, loader(batch_size=22), num_training=20, attr_name="rate")
    assert finder is not None and module.hparams["rate"] == finder.suggestion() != 0.5
    with pytest.raises(UsageError, match="Regression has no attribute 'lr' or 'learning_rate'"):
        Tuner(quiet()).lr_find(Regression(), loader(), num_training=20)


@pytest.mark.parametrize("method", ["fit", "validate", "test", "predict"])
def test_the_batch_size_is_set_and_nothing_else_is_changed(method: Any) -> None:
    module, data = seeded(Limited), Data(3)
    watching = Watching()
    trainer = quiet(callbacks=[watching])
    callbacks, generators = trainer.callbacks, everything_random()
    assert Tuner(trainer).scale_batch_size(module, datamodule=data, method=method) == 32
    assert data.batch_size == 32
    assert everything_random() == generators
    assert same(module.state_dict(), seeded(Limited).state_dict())
    assert trainer.global_step == 0 and trainer.callbacks is callbacks
    assert watching.seen == [f"setup {method}"]


def test_a_data_module_may_take_the_place_of_loaders() -> None:
    data = Data(3)
    assert Tuner(quiet()).scale_batch_size(Limited(), data) == 32


def test_nothing_is_looked_for_in_a_fast_dev_run() -> None:
    with pytest.warns(UserWarning, match="no learning rate is looked for"):
        assert Tuner(quiet(fast_dev_run=True)).lr_find(Plain(), loader()) is None
    with pytest.warns(UserWarning, match="no batch size is looked for"):
        assert Tuner(quiet(fast_dev_run=True)).scale_batch_size(Limited(), datamodule=Data(2)) is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: t.lr_find(Plain(), method="test"), "with method='fit' only, got 'test'"),
        (lambda t: t.lr_find(Plain(), dataloaders=loader()), "pass train_dataloaders"),
        (lambda t: t.scale_batch_size(Plain(), method="train"), "no method 'train': allowed: fit, predict"),
        (
            lambda t: t.scale_batch_size(Plain(), loader(), method="test"),
            "with method='test' pass dataloaders",
        ),
    ],
)
def test_what_cannot_be_is_refused(call: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call(Tuner(quiet()))


def test_a_finder_among_the_callbacks_is_refused() -> None:
    with pytest.raises(UsageError, match="the trainer has a LearningRateFinder among its callbacks"):
        Tuner(quiet(callbacks=[LearningRateFinder()])).lr_find(Plain(), loader())
    with pytest.raises(UsageError, match="the trainer has a BatchSizeFinder among its callbacks"):
        Tuner(quiet(callbacks=[BatchSizeFinder()])).scale_batch_size(Limited(), datamodule=Data(2))


def test_an_error_in_a_step_is_the_users(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Regression):
        lr = 0.1

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            raise KeyError("mine")

    trainer = quiet(callbacks=[Watching()])
    callbacks = trainer.callbacks
    with pytest.raises(KeyError, match="mine"):
        Tuner(trainer).lr_find(Broken(), loader())
    assert trainer.callbacks is callbacks
