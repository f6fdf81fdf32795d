from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from lifecycle.train.feed import feed_of
from tests.train.feeds.reading import SAMPLES, SIZE, carried, draw, resumed
from tests.train.small import same


class Seekable(IterableDataset[Tensor]):
    """An iterable data set that keeps its position."""

    def __init__(self) -> None:
        self.position = 0
        self.resumed = False
        self.read = 0

    def __iter__(self) -> Iterator[Tensor]:
        if not self.resumed:
            self.position = 0
        self.resumed = False
        while self.position < SAMPLES:
            self.position += 1
            self.read += 1
            yield torch.tensor([float(self.position), *draw()])

    def state_dict(self) -> dict[str, Any]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.position = state["position"]
        self.resumed = True


@pytest.mark.parametrize("start", [0, 2, 5, 6])
def test_an_iterable_data_set_with_a_state_goes_on_from_it(start: int) -> None:
    made: list[Seekable] = []

    def make() -> DataLoader[Tensor]:
        made.append(Seekable())
        return DataLoader(made[-1], SIZE)

    expected, found = resumed(make, start=start)
    assert same(found, expected)
    assert made[-1].read == max(SAMPLES - start * SIZE, 0) + SAMPLES


class KeepsPosition:
    """A loader with a state of its own, as a StatefulDataLoader is one."""

    def __init__(self, *, sized: bool = True, ended_means_anew: bool = False) -> None:
        self.at = 0
        self.go_on = False
        self.read = 0
        self.ended_means_anew = ended_means_anew
        self.sized = sized

    def __len__(self) -> int:
        if not self.sized:
            raise TypeError("not known")
        return 5

    def __iter__(self) -> Iterator[Tensor]:
        if not self.go_on:
            self.at = 0
        self.go_on = False
        while self.at < 5:
            self.at += 1
            self.read += 1
            yield torch.tensor([float(self.at), *draw()])
        if self.ended_means_anew:
            self.at = 0

    def state_dict(self) -> dict[str, Any]:
        return {"at": self.at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.at, self.go_on = state["at"], True


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("anew", [True, False])
@pytest.mark.parametrize(("limit", "start"), [(1.0, 0), (1.0, 2), (1.0, 5), (3, 0), (3, 2), (3, 3)])
def test_a_loader_with_a_state_goes_on_from_it(sized: bool, anew: bool, limit: Any, start: int) -> None:
    made: list[KeepsPosition] = []

    def make() -> KeepsPosition:
        made.append(KeepsPosition(sized=sized, ended_means_anew=anew))
        return made[-1]

    expected, found = resumed(make, start=start, limit=limit)
    assert same(found, expected)
    whole = 5 if limit == 1.0 else 3
    assert list(map(len, found)) == [whole - start, whole]
    if start and limit == 1.0:
        assert made[-1].read == 5 - start + 5


def test_a_loader_with_a_state_may_be_read_one_ahead() -> None:
    feed = feed_of(KeepsPosition(sized=False))
    iterator = feed.batches(7, 0)
    for _ in range(3):
        next(iterator)
    again = feed_of(KeepsPosition(sized=False))
    again.load_state_dict(carried(feed.state_dict()), position=2)
    assert [int(batch[0]) for batch in again.batches(7, 0, 2)] == [3, 4, 5]
