"""The course of a run: which batches were trained on and scored, in one line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import lifecycle as pl
from tests.train.small import quiet


class Endless(IterableDataset[Tensor]):
    """Samples 0, 1, 2, … without a length that anybody knows."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Iterator[Tensor]:
        return iter(torch.arange(float(self.count)).reshape(-1, 1))


def numbered(count: int = 6, *, shuffle: bool = False) -> DataLoader[Any]:
    """Batches of one sample each, which holds its number."""
    return DataLoader(TensorDataset(torch.arange(float(count)).reshape(-1, 1)), 1, shuffle=shuffle)


def unnumbered(count: int = 6) -> DataLoader[Any]:
    """The same from a data set without a length."""
    return DataLoader(Endless(count), 1)


class Course(pl.Module):
    """Notes every batch.

    Args:
        stop: Sets ``should_stop`` after this batch of this epoch.

    Attributes:
        notes: ``t`` and the samples of an epoch that were trained on, ``v``, ``s``, ``e``, ``p`` and the
            samples of a validation, of the short one before a fit, of a test and of a prediction; of each
            loader, if there are several.
    """

    def __init__(self, stop: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.stop = stop
        self.notes: list[tuple[str, str]] = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        assert self.trainer is not None
        self.note(f"t{self.current_epoch}", batch)
        if (self.current_epoch, batch_idx) == self.stop:
            self.trainer.should_stop = True
        return self.weight.sum()

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        assert self.trainer is not None
        self.note(("s" if self.trainer.sanity_checking else "v") + str(dataloader_idx), batch)

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.note(f"e{dataloader_idx}", batch)

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> int:
        self.note(f"p{dataloader_idx}", batch)
        return batch_idx

    def on_validation_epoch_end(self) -> None:
        self.notes.append(("", ""))

    def configure_optimizers(self) -> object:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def note(self, what: str, batch: Any) -> None:
        inputs = batch[0] if isinstance(batch, list) else batch
        self.notes.append((what, f"{float(inputs):.0f}"))

    def line(self) -> str:
        """For example ``t0:012 v0:01 t0:345 v0:01``."""
        words: list[str] = []
        last = ""
        for what, sample in self.notes:
            if what == last:
                words[-1] += sample
            elif what:
                words.append(f"{what}:{sample}")
            last = what
        return " ".join(words)


def run(
    train: Any = numbered,
    val: Any = lambda: numbered(2),
    *,
    stop: tuple[int, int] | None = None,
    **options: Any,
) -> tuple[str, pl.Trainer]:
    """Fit for two epochs of six batches, with two of validation; the course and the trainer."""
    trainer, module = quiet(**{"max_epochs": 2, "num_sanity_val_steps": 0, **options}), Course(stop)
    trainer.fit(module, train(), val())
    return module.line(), trainer
