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
from lifecycle.train.data import batch_size, fingerprint, has_loader, tensors
from lifecycle.train.limits import limited
from tests.train.small import Plain, loader, quiet


@pytest.mark.parametrize(
    ("batch", "size"),
    [
        (torch.zeros(3, 2), 3),
        ([torch.zeros(4), torch.zeros(9)], 4),
        ({"name": "x", "image": torch.zeros(5, 1), "label": torch.zeros(7)}, 5),
        (("text", [{"deep": (torch.zeros(6, 1),)}]), 6),
        (torch.tensor(1.0), 1),
        ("nothing", 1),
    ],
)
def test_the_size_of_a_batch_is_the_first_axis_of_its_first_tensor(batch: object, size: int) -> None:
    assert batch_size(batch) == size


def test_tensors_are_found_depth_first() -> None:
    parts = [torch.tensor(float(index)) for index in range(4)]
    batch = {"a": [parts[0], (parts[1], "text")], "b": parts[2], "c": {"d": parts[3]}}
    assert [float(tensor) for tensor in tensors(batch)] == [0.0, 1.0, 2.0, 3.0]


def test_a_limited_loader_can_be_iterated_over_again_and_again() -> None:
    first, count = limited([1, 2, 3, 4], 3)
    assert count == 3
    assert list(first) == list(first) == [1, 2, 3]
    assert limited([1, 2, 3, 4], 0.5)[1] == 2
    assert limited(iter([1, 2]), 1.0)[1] is None
    assert limited(iter([1, 2]), 1)[1] == 1


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


def test_a_shuffled_and_augmented_split_has_one_fingerprint() -> None:
    class Augmented(Data):
        def setup(self, stage: str) -> None:
            self.split = TensorDataset(torch.arange(6.0)[:, None])

        def train_dataloader(self) -> Any:
            return DataLoader(self.split, 2, shuffle=True, collate_fn=self.noisy)

        def noisy(self, batch: list[tuple[Tensor]]) -> Tensor:
            noise = torch.rand(1) + random.random() + float(np.random.rand())
            return torch.stack([part[0] for part in batch]) + noise

    assert fingerprint(Augmented()) == fingerprint(Augmented())


def test_loaders_that_a_user_wrote_are_known() -> None:
    assert [has_loader(Data(), f"{split}_dataloader") for split in ("train", "val", "test", "predict")] == [
        True,
        False,
        True,
        False,
    ]


@pytest.mark.parametrize(("verb", "split"), [("validate", "val"), ("predict", "predict")])
def test_a_loader_that_is_needed_and_not_there_is_asked_for(verb: str, split: str) -> None:
    name = f"{split}_dataloader"
    with pytest.raises(
        UsageError, match=rf"^Data defines no {name}; add `def {name}\(self\): return DataLoader\(...\)`$"
    ):
        getattr(quiet(), verb)(Plain(), datamodule=Data())


def test_a_fit_without_a_validation_loader_validates_nothing() -> None:
    class Training(Data):
        def train_dataloader(self) -> Any:
            return loader()

    trainer = quiet()
    trainer.fit(Plain(), datamodule=Training())
    assert "val_loss" not in trainer.callback_metrics
