"""A module that logs what a test tells it, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset

import lifecycle as pl
from tests.train.small import Plain, Recorder, quiet, samples

# Batches of 4, 4 and 2 samples; the values below are logged, one for each batch.
VALUES = (1.0, 2.0, 6.0)
MEAN = (4 * 1.0 + 4 * 2.0 + 2 * 6.0) / 10
Log = Callable[[Any, int], object]


def ten() -> DataLoader[Any]:
    """Three batches."""
    return DataLoader(Subset(samples(), range(10)), 4)


class Logging(Plain):
    """Logs in its steps.

    Args:
        train: Called with the module and the batch's index in `training_step`.
        score: Likewise in `validation_step` and `test_step`; with several loaders the index of the loader
            comes last.
    """

    def __init__(self, train: Log | None = None, score: Callable[..., object] | None = None) -> None:
        super().__init__()
        self.hparams.clear()  # functions are none
        self._train = train
        self._score = score

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        if self._train is not None:
            self._train(self, batch_idx)
        return self(batch[0]).sum()  # type: ignore[no-any-return]

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int | None = None) -> None:
        if self._score is not None:
            at = () if dataloader_idx is None else (dataloader_idx,)
            self._score(self, batch_idx, *at)

    test_step = validation_step


class Logged:
    """What a run of a logging module left behind.

    Args:
        module: What is run.
        verb: How.
        loaders: How many loaders to score.
        options: The trainer's.

    Attributes:
        trainer: Of the run.
        returned: By the verb.
        sent: What the logger was given: step and numbers.
    """

    def __init__(self, module: pl.Module, verb: str = "fit", *, loaders: int = 1, **options: Any) -> None:
        recorder = Recorder()
        settings = {"log_every_n_steps": 1, "num_sanity_val_steps": 0, "logger": recorder, **options}
        self.trainer = quiet(**settings)
        scored: Any = ten() if loaders == 1 else [ten() for _ in range(loaders)]
        if verb == "fit":
            self.returned: Any = self.trainer.fit(module, ten(), scored)
        else:
            self.returned = getattr(self.trainer, verb)(module, scored, verbose=False)
        self.sent = recorder.sent

    @property
    def callback(self) -> dict[str, Any]:
        return floats(self.trainer.callback_metrics)

    @property
    def logged(self) -> dict[str, Any]:
        return floats(self.trainer.logged_metrics)

    @property
    def bar(self) -> dict[str, Any]:
        return floats(self.trainer.progress_bar_metrics)


def floats(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers that compare as equal when they nearly are."""
    return {name: pytest.approx(float(value)) for name, value in metrics.items()}


def value(index: int) -> Tensor:
    return torch.tensor(VALUES[index])


def logs(name: str = "x", **options: Any) -> Callable[..., object]:
    """Log the value of each batch."""
    return lambda module, index, *loader: module.log(name, value(index), **options)
