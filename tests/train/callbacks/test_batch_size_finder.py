from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

import lifecycle as pl
from lifecycle.callbacks import BatchSizeFinder
from lifecycle.core.errors import UsageError
from tests.train.small import Plain, loader, quiet, same, samples, seeded


class Limited(Plain):
    """Runs out of memory above 50 samples."""

    def __init__(self, most: int = 50) -> None:
        super().__init__()
        self.most = most
        self.sizes: list[int] = []

    def take(self, batch: list[torch.Tensor]) -> None:
        self.sizes.append(len(batch[0]))
        if len(batch[0]) > self.most:
            torch.empty(1 << 62, dtype=torch.uint8)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.take(batch)
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.take(batch)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.take(batch)

    def predict_step(self, batch: Any, batch_idx: int) -> None:
        self.take(batch)


class Data(pl.DataModule):
    def __init__(self, batch_size: int, count: int = 200) -> None:
        super().__init__()
        self.batch_size, self.count = batch_size, count

    def train_dataloader(self) -> Any:
        return DataLoader(samples(self.count), self.batch_size)

    val_dataloader = test_dataloader = predict_dataloader = train_dataloader


def test_a_fit_goes_on_with_what_was_found() -> None:
    finder, module, data = BatchSizeFinder(mode="binsearch"), seeded(Limited), Data(3)
    trainer = quiet(max_epochs=1, callbacks=[finder])
    trainer.fit(module, datamodule=data)
    assert (finder.optimal_batch_size, data.batch_size) == (47, 47)
    assert module.sizes[-5:] == [47, 47, 47, 47, 12]
    assert (trainer.global_step, trainer.num_training_batches) == (5, 5)
    knowing = seeded(Limited)
    quiet(max_epochs=1).fit(knowing, datamodule=Data(47))
    assert same(module.state_dict(), knowing.state_dict())


def test_also_when_somebody_counted_batches_before() -> None:
    class Counting(Limited):
        def configure_optimizers(self) -> Any:
            assert self.trainer is not None
            self.steps = self.trainer.estimated_stepping_batches
            return super().configure_optimizers()

    module = Counting()
    quiet(max_epochs=1, callbacks=[BatchSizeFinder()]).fit(module, datamodule=Data(3))
    assert module.sizes[-7:] == [32, 32, 32, 32, 32, 32, 8]


@pytest.mark.parametrize("verb", ["validate", "test", "predict"])
def test_so_does_every_other_verb(verb: str) -> None:
    finder, module, data = BatchSizeFinder(steps_per_trial=2), Limited(), Data(3)
    getattr(quiet(callbacks=[finder]), verb)(module, datamodule=data)
    assert (finder.optimal_batch_size, data.batch_size) == (32, 32)
    tries = [size for size in (2, 4, 8, 16, 32) for _ in range(2)]
    assert module.sizes == [*tries, 64, 32, 32, 32, 32, 32, 32, 8]


def test_validation_within_a_fit_is_not_searched() -> None:
    finder, module = BatchSizeFinder(), Limited()
    quiet(max_epochs=2, callbacks=[finder], num_sanity_val_steps=0).fit(module, datamodule=Data(3))
    assert module.sizes.count(64) == 1


def test_each_size_gets_so_many_steps() -> None:
    module = Limited()
    finder = BatchSizeFinder(steps_per_trial=4, max_trials=2)
    quiet(max_epochs=1, callbacks=[finder], limit_train_batches=1, limit_val_batches=0).fit(
        module, datamodule=Data(3)
    )
    assert module.sizes == [2, 2, 2, 2, 4, 4, 4, 4, 4]


def test_the_attribute_may_be_a_hyperparameter_of_the_module() -> None:
    class Own(Limited):
        def __init__(self, size: int = 2) -> None:
            super().__init__()
            self.save_hyperparameters()

        def train_dataloader(self) -> Any:
            return DataLoader(samples(200), self.hparams["size"])

    module = Own()
    quiet(max_epochs=1, callbacks=[BatchSizeFinder(batch_arg_name="size")]).fit(module)
    assert module.hparams["size"] == 32


def test_other_errors_are_the_users_and_the_attribute_is_as_before() -> None:
    class Broken(Plain):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            raise KeyError("mine")

    data = Data(3)
    with pytest.raises(KeyError, match="mine"):
        quiet(callbacks=[BatchSizeFinder()]).fit(Broken(), datamodule=data)
    assert data.batch_size == 3


def test_a_sample_that_does_not_fit_is_an_error() -> None:
    data = Data(3)
    with pytest.raises(UsageError, match="not even a batch of one sample"):
        quiet(callbacks=[BatchSizeFinder()]).fit(Limited(most=0), datamodule=data)
    assert data.batch_size == 3


def test_loaders_that_have_a_size_already_are_refused() -> None:
    class Sized(Plain):
        batch_size = 3

    with pytest.raises(UsageError, match="define train_dataloader in a DataModule or in Sized"):
        quiet(callbacks=[BatchSizeFinder()]).fit(Sized(), loader())


def test_loaders_that_do_not_follow_the_attribute_are_refused() -> None:
    class Fixed(Data):
        def train_dataloader(self) -> Any:
            return DataLoader(samples(200), 7)

    with pytest.raises(
        UsageError,
        match=r"train_dataloader gives batches of 7 whatever 'batch_size' is: .*batch_size=self.batch_size",
    ):
        quiet(callbacks=[BatchSizeFinder()]).fit(Limited(), datamodule=Fixed(3))


def test_a_name_that_nobody_has_is_refused() -> None:
    with pytest.raises(UsageError, match="Limited and Data have no attribute 'bs'"):
        quiet(callbacks=[BatchSizeFinder(batch_arg_name="bs")]).fit(Limited(), datamodule=Data(3))


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UsageError, match="no mode 'log'"):
        BatchSizeFinder(mode="log")
    with pytest.raises(UsageError, match=r"margin=1.5"):
        BatchSizeFinder(margin=1.5)
