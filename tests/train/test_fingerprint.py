from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import lifecycle as pl
from lifecycle.core.errors import UsageError
from lifecycle.train.data import fingerprint


class Data(pl.DataModule):
    """Data made of a number; only training and test."""

    def __init__(
        self, number: float = 0.0, *, dtype: torch.dtype = torch.float32, declared: str | None = None
    ) -> None:
        self.number = number
        self.dtype = dtype
        self.declared = declared
        self.prepared = False

    def prepare_data(self) -> None:
        self.prepared = True

    def setup(self, stage: str) -> None:
        assert self.prepared
        self.split = TensorDataset(torch.full((6, 2), self.number, dtype=self.dtype))

    def train_dataloader(self) -> Any:
        return DataLoader(self.split, 2, shuffle=True)

    def test_dataloader(self) -> Any:
        return DataLoader(self.split, 2)

    def fingerprint(self) -> str | None:
        return self.declared


def test_a_fingerprint_follows_the_data() -> None:
    known = fingerprint(Data(1.0))
    torch.rand(7)
    assert fingerprint(Data(1.0)) == known
    assert fingerprint(Data(1.5)) != known
    assert fingerprint(Data(1.0, dtype=torch.float64)) != known


def test_a_declared_fingerprint_is_taken_as_it_is() -> None:
    assert fingerprint(Data(1.0, declared="version 3")) == "version 3"


def test_a_fingerprint_covers_the_choice_of_split() -> None:
    class Whole(Data):
        def val_dataloader(self) -> Any:
            return DataLoader(self.split, 2)

    assert fingerprint(Whole(1.0)) != fingerprint(Data(1.0))


def test_a_fingerprint_covers_every_one_of_several_loaders() -> None:
    class Several(Data):
        def __init__(self, number: float) -> None:
            super().__init__(1.0)
            self.other = TensorDataset(torch.full((6, 2), number))

        def val_dataloader(self) -> Any:
            return {"a": DataLoader(self.split, 2), "b": [DataLoader(self.other, 2)]}

    assert fingerprint(Several(1.0)) == fingerprint(Several(1.0)) != fingerprint(Several(2.0))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_shuffled_and_augmented_split_has_one_fingerprint(workers: int) -> None:
    class Augmented(Data):
        def __init__(self, workers: int) -> None:
            super().__init__()
            self.workers = workers
            self.generator = torch.Generator()

        def setup(self, stage: str) -> None:
            self.split = TensorDataset(torch.arange(6.0)[:, None])

        def train_dataloader(self) -> Any:
            return DataLoader(
                self.split,
                2,
                shuffle=True,
                collate_fn=noisy,
                num_workers=self.workers,
                generator=self.generator,
            )

    data = Augmented(0)
    assert fingerprint(Augmented(workers)) == fingerprint(data) == fingerprint(data)


def noisy(batch: list[tuple[Tensor]]) -> Tensor:
    noise = torch.rand(1) + random.random() + float(np.random.rand())
    return torch.stack([part[0] for part in batch]) + noise


def test_data_without_content_asks_for_a_fingerprint() -> None:
    class Strange(Data):
        def test_dataloader(self) -> Any:
            return [[object()]]

    with pytest.raises(
        UsageError, match=r"^a object in a batch has no content to tell data apart by: define"
    ):
        fingerprint(Strange())
