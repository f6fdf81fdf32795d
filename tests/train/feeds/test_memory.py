from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Sampler, Subset

from lifecycle.train.feed import evaluation_feeds, feed_of
from tests.train.feeds.reading import (
    BATCHES,
    SAMPLES,
    SIZE,
    Augmented,
    carried,
    generator,
    order,
    resumed,
    samples,
)
from tests.train.small import same


def shuffled_by_own(workers: int = 0, **options: Any) -> DataLoader[Any]:
    return DataLoader(Augmented(), SIZE, shuffle=True, generator=generator(), num_workers=workers, **options)


@pytest.mark.parametrize("size", [2, 4])  # 22 samples: with 2 the sampler ends after the last batch
def test_a_loaders_own_generator_goes_on_through_the_epochs_as_in_a_plain_loop(size: int) -> None:
    plain = DataLoader(samples(), size, shuffle=True, generator=generator())
    feed = feed_of(DataLoader(samples(), size, shuffle=True, generator=generator()))
    orders = [order(list(feed.batches(7, epoch))) for epoch in range(3)]
    assert orders == [order(list(plain)) for _ in range(3)]
    assert len({tuple(found) for found in orders}) == 3


@pytest.mark.parametrize(
    ("before", "after", "start"), [(0, 0, 0), (2, 0, 2), (0, 2, 2), (2, 2, 5), (2, 0, 6), (0, 2, 6)]
)
def test_a_loaders_own_generator_is_put_back(before: int, after: int, start: int) -> None:
    expected, found = resumed(
        lambda: shuffled_by_own(before), lambda: shuffled_by_own(after), epoch=2, start=start
    )
    assert same(found, expected)
    assert list(map(len, found)) == [BATCHES - start, BATCHES]


class Drawing(Sampler[int]):
    """Draws from generators of its own, and once more at its end."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(5)
        self.more = {"python": random.Random(5), "legacy": np.random.RandomState(5)}

    def __iter__(self) -> Iterator[int]:
        for _ in range(SAMPLES):
            yield (
                int(self.rng.integers(8)) + self.more["python"].randrange(7) + self.more["legacy"].randint(7)
            )
        self.rng.random()

    def __len__(self) -> int:
        return SAMPLES


@pytest.mark.parametrize("limit", [1.0, 4])
@pytest.mark.parametrize("workers", [0, 2])
def test_samplers_with_generators_of_their_own_are_put_back(limit: Any, workers: int) -> None:
    def make(workers: int = workers) -> DataLoader[Any]:
        return DataLoader(Augmented(), SIZE, sampler=Drawing(), num_workers=workers)

    for start in (1, 4):
        expected, found = resumed(make, lambda: make(2 - workers), start=start, limit=limit)
        assert same(found, expected)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("at", [1, 5])
def test_an_epoch_that_is_broken_off_leaves_generators_as_one_that_ended(workers: int, at: int) -> None:
    ended, broken = feed_of(shuffled_by_own()), feed_of(shuffled_by_own(workers))
    list(ended.batches(7, 0))
    iterator = broken.batches(7, 0)
    for _ in range(at):
        next(iterator)
    del iterator
    state = carried(broken.state_dict())
    assert same(list(broken.batches(7, 1)), expected := list(ended.batches(7, 1)))
    again = feed_of(shuffled_by_own())
    again.load_state_dict(state)
    assert same(list(again.batches(7, 1)), expected)


class OwnRandom(Augmented):
    """Draws from generators of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.rng = np.random.default_rng(1)
        self.parts = [random.Random(1), generator(1)]

    def __getitem__(self, index: int) -> Tensor:
        python, own = self.parts
        return torch.tensor([index, self.rng.normal(), python.gauss(0, 1), torch.rand((), generator=own)])  # type: ignore[union-attr,arg-type]


@pytest.mark.parametrize("start", [0, 2, 5])
@pytest.mark.parametrize(
    "wrap",
    [lambda data: data, lambda data: Subset(data, range(20)), lambda data: ConcatDataset([data, data])],
)
def test_generators_of_the_data_are_put_back_when_it_is_read_in_this_process(
    wrap: Callable[[Any], Any], start: int
) -> None:
    expected, found = resumed(lambda: DataLoader(wrap(OwnRandom()), SIZE, shuffle=True), start=start)
    assert same(found, expected)
    numbers = torch.cat([*found[0], *found[1]])[:, 1]
    assert len(numbers.unique()) == len(numbers)


class KeepsState(Augmented):
    """Counts what it gave, and keeps that itself."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __getitem__(self, index: int) -> Tensor:
        self.count += 1
        return torch.tensor([index, self.count])

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]


@pytest.mark.parametrize("start", [0, 3])
def test_data_that_keeps_a_state_is_given_it_back(start: int) -> None:
    expected, found = resumed(lambda: DataLoader(Subset(KeepsState(), range(20)), SIZE), start=start)
    assert same(found, expected)
    assert found[0][0][0, 1] == 20 + start * SIZE + 1


def test_a_checkpoint_made_when_the_next_batch_was_already_read_is_exact_too() -> None:
    def make() -> DataLoader[Any]:
        return DataLoader(OwnRandom(), SIZE, shuffle=True)

    expected = list(feed_of(make()).batches(7, 0))
    feed = feed_of(make())
    iterator = feed.batches(7, 0)
    for _ in range(4):  # one more than is trained on
        next(iterator)
    again = feed_of(make())
    again.load_state_dict(carried(feed.state_dict()), position=3)
    assert same(list(again.batches(7, 0, 3)), expected[3:])


RNG = np.random.default_rng(2)


def from_a_global(batch: list[Tensor]) -> Tensor:
    return torch.stack(batch) + RNG.random()


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"dataset": OwnRandom()}, r"dataset.rng, dataset.parts\[0\], dataset.parts\[1\]"),
        ({"dataset": Subset(OwnRandom(), range(9))}, r"dataset.dataset.rng, .*"),
        ({"dataset": Augmented(), "collate_fn": from_a_global}, "RNG"),
    ],
)
def test_generators_that_workers_have_copies_of_are_named(options: dict[str, Any], path: str) -> None:
    loader = DataLoader(batch_size=SIZE, num_workers=2, **options)
    with pytest.warns(
        UserWarning, match=rf"^the data draws from generators of its own \({path}\), and each worker"
    ):
        feed_of(loader)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        feed_of(DataLoader(batch_size=SIZE, **options))
        feed_of(DataLoader(Augmented(), SIZE, num_workers=2, shuffle=True, generator=generator()))
        evaluation_feeds(loader)


@pytest.mark.parametrize("rehearsal", [False, True])
def test_evaluation_and_rehearsals_leave_generators_as_they_were(rehearsal: bool) -> None:
    own = generator()
    loader = DataLoader(OwnRandom(), SIZE, shuffle=True, generator=own)
    feed = feed_of(loader, rehearsal=True) if rehearsal else evaluation_feeds(loader)[0]
    before = own.get_state()
    first = list(feed.batches(7, 0))
    iterator = feed.batches(7, 1)
    next(iterator)
    del iterator
    assert torch.equal(own.get_state(), before)
    assert same(list(feed.batches(7, 0)), first)
