"""Batches are the same to the bit however they are read, and from wherever."""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    WeightedRandomSampler,
    get_worker_info,
)

from lifecycle.train.feed import evaluation_feeds, feed_of
from lifecycle.train.seeding import seed_batch
from tests.train.feeds.reading import (
    BATCHES,
    SAMPLES,
    SIZE,
    Augmented,
    InLists,
    disturb,
    generator,
    noisy,
    order,
    read,
    samples,
)
from tests.train.small import same

WORKERS = [
    {"num_workers": 1},
    {"num_workers": 2},
    {"num_workers": 2, "persistent_workers": True},
    {"num_workers": 1, "prefetch_factor": 5},
]


@pytest.mark.parametrize("options", WORKERS)
@pytest.mark.parametrize("dataset", [Augmented, InLists])
def test_workers_change_no_batch(options: dict[str, Any], dataset: type[Augmented]) -> None:
    expected = [read(DataLoader(dataset(), SIZE, shuffle=True, collate_fn=noisy), epoch=e) for e in range(3)]
    feed = feed_of(DataLoader(dataset(), SIZE, shuffle=True, collate_fn=noisy, **options))
    for epoch, start in [(0, 0), (1, 0), (2, 3), (1, 5), (0, 6)]:
        disturb()
        assert same(list(feed.batches(7, epoch, start)), expected[epoch][start:])
    feed.close()


def test_spawned_workers_change_no_batch() -> None:
    def loader(**options: Any) -> DataLoader[Tensor]:
        return DataLoader(Augmented(), SIZE, shuffle=True, collate_fn=noisy, **options)

    spawned = loader(num_workers=1, multiprocessing_context="spawn")
    assert same(read(spawned, start=1), read(loader(), start=1))


@pytest.mark.parametrize("persistent", [False, True])
def test_a_pass_that_is_broken_off_changes_nothing(persistent: bool) -> None:
    expected = [read(DataLoader(Augmented(), SIZE, shuffle=True), epoch=epoch) for epoch in (0, 1)]
    loader = DataLoader(Augmented(), SIZE, shuffle=True, num_workers=2, persistent_workers=persistent)
    feed = feed_of(loader)
    for epoch in (0, 1, 0):
        iterator = feed.batches(7, epoch)
        assert same(next(iterator), expected[epoch][0])
        del iterator
        assert same(list(feed.batches(7, epoch)), expected[epoch])
    feed.close()


def test_every_batch_is_another() -> None:
    loader = DataLoader(Augmented(), SIZE, shuffle=True)
    batches = [batch for seed in (7, 8) for epoch in (0, 1) for batch in read(loader, seed, epoch)]
    for column in (1, 2, 3):
        values = torch.cat(batches)[:, column].tolist()
        assert len(set(values)) == len(values) == 4 * SAMPLES


def test_the_order_is_that_of_a_plain_loop_seeded_for_the_epoch() -> None:
    for options in ({"shuffle": True}, {"sampler": RandomSampler(samples(), replacement=True)}):
        feed = feed_of(DataLoader(samples(), SIZE, **options))  # type: ignore[arg-type]
        for epoch in (0, 1):
            seed_batch(7, epoch, -1)
            expected = list(DataLoader(samples(), SIZE, **options))  # type: ignore[arg-type]
            assert same(list(feed.batches(7, epoch)), expected)
            assert same(list(feed.batches(7, epoch, 4)), expected[4:])


@pytest.mark.parametrize("workers", [0, 2])
def test_skipped_batches_are_not_read(workers: int, tmp_path: Path) -> None:
    class Logging(Augmented):
        def __getitem__(self, index: int) -> Tensor:
            (tmp_path / f"{os.getpid()} {time.monotonic_ns()} {index}").touch()
            return super().__getitem__(index)

    batches = read(DataLoader(Logging(), SIZE, shuffle=True, num_workers=workers), start=4)
    read_samples = [int(path.name.split()[2]) for path in tmp_path.iterdir()]
    assert sorted(read_samples) == sorted(order(batches))
    assert len(read_samples) == SAMPLES - 4 * SIZE


def test_no_more_is_read_ahead_than_the_limit(tmp_path: Path) -> None:
    class Logging(Augmented):
        def __getitem__(self, index: int) -> Tensor:
            (tmp_path / str(index)).touch()
            return super().__getitem__(index)

    assert len(read(DataLoader(Logging(), SIZE, num_workers=2), limit=1)) == 1
    assert len(list(tmp_path.iterdir())) == SIZE


@pytest.mark.parametrize("size", [None, SIZE])
def test_a_loader_that_does_not_collate_is_read_alike(size: int | None) -> None:
    expected = read(DataLoader(Augmented(), size, shuffle=True))
    assert len(expected) == (SAMPLES if size is None else BATCHES)
    for start in (0, 3):
        assert same(
            read(DataLoader(Augmented(), size, shuffle=True, num_workers=2), start=start), expected[start:]
        )


class Chunks(Sampler[list[int]]):
    """A batch sampler that draws whenever it is asked, from all three generators."""

    def __iter__(self) -> Iterator[list[int]]:
        for _ in range(5):
            first = random.randrange(10) + np.random.randint(5) + int(torch.randint(5, ()))
            yield [first, first + 1, first + 2]

    def __len__(self) -> int:
        return 5


class EachAnew(Sampler[int]):
    """A sampler that draws every index when it is asked for it."""

    def __iter__(self) -> Iterator[int]:
        return (random.randrange(SAMPLES) for _ in range(12))

    def __len__(self) -> int:
        return 12


@pytest.mark.parametrize(
    "options",
    [
        {"batch_sampler": Chunks()},
        {"batch_size": SIZE, "sampler": EachAnew()},
        {"batch_size": SIZE, "sampler": WeightedRandomSampler([0.1, 0.5, 3.0] * 7, 15)},
        {"batch_sampler": BatchSampler(RandomSampler(range(SAMPLES)), 5, drop_last=True)},
        {"batch_size": SIZE, "sampler": [5, 3, 1, 0, 2, 4]},
        {"batch_size": SIZE, "shuffle": True, "drop_last": True},
    ],
)
def test_samplers_of_users_give_the_same_from_any_start(options: dict[str, Any]) -> None:
    expected = [read(DataLoader(Augmented(), **options), epoch=epoch) for epoch in (0, 1)]
    assert len(expected[0]) == len(DataLoader(Augmented(), **options))
    for workers in (0, 2):
        feed = feed_of(DataLoader(Augmented(), num_workers=workers, **options))
        for epoch, start in [(0, 0), (1, 1), (0, 2)]:
            found = []
            for batch in feed.batches(7, epoch, start):
                disturb()
                found.append(batch)
            assert same(found, expected[epoch][start:])


def test_those_who_want_to_know_the_epoch_are_told() -> None:
    class Knowing(SequentialSampler):
        epoch = -1

        def set_epoch(self, epoch: int) -> None:
            self.epoch = epoch

        def __iter__(self) -> Iterator[int]:
            return (index if self.epoch % 2 else SAMPLES - 1 - index for index in range(SAMPLES))

    class KnowingData(Augmented):
        epoch = -1

        def set_epoch(self, epoch: int) -> None:
            self.epoch = epoch

        def __getitem__(self, index: int) -> Tensor:
            return torch.tensor([index, self.epoch])

    for workers in (0, 2):
        data = KnowingData()
        loader = DataLoader(
            data, SIZE, sampler=Knowing(data), num_workers=workers, persistent_workers=workers > 0
        )
        feed = feed_of(loader)
        for epoch in (0, 1, 2):
            found = torch.cat(list(feed.batches(7, epoch)))
            assert found[:, 1].unique().tolist() == [epoch]
            assert found[:, 0].tolist() == list(range(SAMPLES))[:: 1 if epoch % 2 else -1]
        feed.close()


def init_worker(worker: int) -> None:
    info = get_worker_info()
    assert info is not None
    assert type(info.dataset) is Marked
    info.dataset.mark = 10 + worker


class Marked(Augmented):
    mark = 0

    def __getitem__(self, index: int) -> Tensor:
        info = get_worker_info()
        assert info is None or info.dataset is self
        return torch.tensor([index, self.mark])


def test_the_users_function_sees_the_users_data_in_workers() -> None:
    loader = DataLoader(Marked(), SIZE, num_workers=2, worker_init_fn=init_worker)
    assert [batch[0, 1].item() for batch in read(loader)] == [10, 11, 10, 11, 10, 11]
    assert loader.worker_init_fn is init_worker


def test_the_users_loader_stays_as_it_is() -> None:
    class Named(DataLoader[Tensor]):
        def __init__(self, path: str, dataset: Augmented) -> None:
            super().__init__(dataset, SIZE, shuffle=True, generator=torch.Generator())
            self.path = path

    loader = Named("somewhere", Augmented())
    before = dict(vars(loader))
    feed = feed_of(loader)
    assert len(list(feed.batches(7, 0, 2))) == 4
    assert feed.source is loader
    assert all(vars(loader)[name] is value for name, value in before.items())
    assert len(list(loader)) == BATCHES


def test_data_that_draws_nothing_costs_no_seeding() -> None:
    halves = ConcatDataset([Subset(samples(), range(11)), Subset(samples(), range(11, SAMPLES))])
    for dataset in (samples(), halves, list(range(SAMPLES))):
        iterator = feed_of(DataLoader(dataset, SIZE)).batches(7, 0)  # type: ignore[arg-type]
        next(iterator)
        random.seed(1)
        before = random.getstate()
        next(iterator)
        assert random.getstate() == before


def test_overfitting_reads_in_order(caplog: pytest.LogCaptureFixture) -> None:
    for loader in (
        DataLoader(samples(), SIZE, shuffle=True),
        DataLoader(samples(), None, shuffle=True),
        DataLoader(samples(), batch_sampler=BatchSampler(RandomSampler(samples()), SIZE, False)),
        DataLoader(samples(), SIZE),
    ):
        batches = read(loader, ordered=True)
        assert order([part[0].reshape(-1, 1) for part in batches]) == list(range(SAMPLES))


def test_prediction_drops_nothing_and_knows_the_samples() -> None:
    feed = evaluation_feeds(DataLoader(Augmented(10), SIZE, drop_last=True), split="predict")[0]
    assert feed.num_batches == 3
    assert order(list(feed.batches(7, 0))) == list(range(10))
    assert feed.indices == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert evaluation_feeds(DataLoader(samples(), SIZE, drop_last=True), split="test")[0].num_batches == 5


def test_workers_end_with_the_pass() -> None:
    import multiprocessing

    def workers() -> int:
        return len(multiprocessing.active_children())

    before = workers()
    feed = feed_of(DataLoader(Augmented(), SIZE, num_workers=2))
    iterator = feed.batches(7, 0)
    next(iterator)
    assert workers() == before + 2
    del iterator
    assert workers() == before
    own = feed_of(DataLoader(Augmented(), SIZE, num_workers=2, shuffle=True, generator=generator()))
    with pytest.raises(ZeroDivisionError):
        for _ in own.batches(7, 0):
            raise ZeroDivisionError
    assert workers() == before
    stays = feed_of(DataLoader(Augmented(), SIZE, num_workers=2, persistent_workers=True))
    list(stays.batches(7, 0))
    assert workers() == before + 2
    stays.close()
    assert workers() == before


def test_batches_that_are_to_come_in_any_order_come_in_order(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    loader = DataLoader(Augmented(), SIZE, num_workers=2, in_order=False)
    assert order(read(loader)) == list(range(SAMPLES))
    assert "in_order=False of the train loader has no effect" in caplog.text
