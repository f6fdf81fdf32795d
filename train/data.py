"""Data as one object: loaders for each purpose, and a fingerprint of what they hold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor

from lifecycle.core.errors import UsageError
from lifecycle.train.seeding import seed_batch

if TYPE_CHECKING:
    from lifecycle.train.trainer import Trainer

Loader = Iterable[object]
Source: TypeAlias = "Loader | DataModule | None"  # what the trainer's verbs take to iterate over


class DataModule:
    """Where a user says how data is prepared, split and loaded.

    `prepare_data` downloads once; `setup` splits, for ``"fit"``, ``"validate"``, ``"test"`` or
    ``"predict"``; the four ``*_dataloader`` methods return what to iterate over.
    """

    trainer: Trainer | None = None

    def prepare_data(self) -> None:
        """Fetch what is not there yet; must not set attributes."""

    def setup(self, stage: str) -> None:
        """Make the data sets for a stage."""

    def teardown(self, stage: str) -> None:
        """Let go of what `setup` took."""

    def train_dataloader(self) -> Loader:
        """Batches to train on."""
        raise UsageError(_missing(self, "train_dataloader"))

    def val_dataloader(self) -> Loader:
        """Batches to choose models by."""
        raise UsageError(_missing(self, "val_dataloader"))

    def test_dataloader(self) -> Loader:
        """Batches to judge the chosen model by, once."""
        raise UsageError(_missing(self, "test_dataloader"))

    def predict_dataloader(self) -> Loader:
        """Batches without labels."""
        raise UsageError(_missing(self, "predict_dataloader"))

    def fingerprint(self) -> str | None:
        """A text that changes when the data does; None has it computed from what the loaders give."""
        return None


def _missing(data: DataModule, name: str) -> str:
    return f"{type(data).__name__} defines no {name}; add `def {name}(self): return DataLoader(...)`"


def has_loader(data: DataModule, name: str) -> bool:
    """Whether the user wrote this loader."""
    return getattr(type(data), name) is not getattr(DataModule, name)


def fingerprint(data: DataModule) -> str:
    """What the data module declares, or SHA-256 over every batch that its loaders give under a fixed seed.

    Raises:
        UsageError: a batch holds something whose content cannot be read.
    """
    declared = data.fingerprint()
    if declared is not None:
        return declared
    data.prepare_data()
    digest = hashlib.sha256()
    for stage, name in (("fit", "train_dataloader"), ("fit", "val_dataloader"), ("test", "test_dataloader")):
        if has_loader(data, name):
            seed_batch(0, 0, -1)
            data.setup(stage)
            digest.update(name.encode())
            for batch in getattr(data, name)():
                for part in _content(batch):
                    digest.update(part)
    return digest.hexdigest()


def _content(item: object) -> Iterator[bytes]:
    """What a batch holds, as bytes, each part with its type and shape."""
    if isinstance(item, Tensor):
        yield f"tensor {item.dtype} {tuple(item.shape)}".encode()
        yield item.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    elif isinstance(item, np.ndarray) and item.dtype != object:
        yield f"array {item.dtype.str} {item.shape}".encode()
        yield item.tobytes()
    elif isinstance(item, dict):
        for key, value in item.items():
            yield f"key {key!r}".encode()
            yield from _content(value)
    elif isinstance(item, list | tuple):
        yield f"sequence {len(item)}".encode()
        for value in item:
            yield from _content(value)
    elif item is None or isinstance(item, str | bytes | int | float | np.generic):
        yield repr(item).encode()
    else:
        raise UsageError(
            f"a {type(item).__name__} in a batch has no content to tell data apart by: "
            "define fingerprint(self) -> str in the DataModule"
        )


def tensors(batch: object) -> Iterator[Tensor]:
    """Every tensor of a batch, depth first: tensors, sequences and mappings of them."""
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, Mapping):
        for item in batch.values():
            yield from tensors(item)
    elif isinstance(batch, list | tuple):
        for item in batch:
            yield from tensors(item)


def batch_size(batch: object) -> int:
    """Samples in a batch: the first axis of its first tensor; 1 when there is none.

    >>> batch_size([torch.zeros(4, 2), torch.zeros(4)])
    4
    """
    first = next(tensors(batch), None)
    return int(first.shape[0]) if first is not None and first.ndim else 1


def data_of(loaders: Source, datamodule: DataModule | None) -> DataModule | None:
    """The data module of a verb: as Lightning's do, they take it in place of loaders too."""
    return loaders if isinstance(loaders, DataModule) else datamodule


def loader_of(given: Source, datamodule: DataModule | None, name: str) -> Loader:
    """What was passed to a verb, or the data module's loader of that name.

    Raises:
        UsageError: there is neither.
    """
    if given is not None and not isinstance(given, DataModule):
        return given
    if datamodule is None:
        raise UsageError(f"there is nothing to iterate over: pass a {name} or datamodule=…")
    return cast("Loader", getattr(datamodule, name)())
