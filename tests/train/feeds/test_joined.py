from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from lifecycle.core.errors import UsageError
from lifecycle.train.combined import CombinedLoader, Mode
from lifecycle.train.feed import evaluation_feeds, feed_of
from tests.train.feeds.reading import Augmented, Stream, carried, draw, generator, order, read, resumed
from tests.train.small import same

MODES: list[Mode] = ["min_size", "max_size_cycle", "max_size", "sequential"]


def short(workers: int = 0, **options: Any) -> DataLoader[Any]:
    """3 batches."""
    return DataLoader(Augmented(6), 2, shuffle=True, num_workers=workers, **options)


def long(workers: int = 0, **options: Any) -> DataLoader[Any]:
    """8 batches."""
    return DataLoader(Augmented(8), 1, shuffle=True, num_workers=workers, **options)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("start", [0, 2, 3, 7])
def test_going_on_within_an_epoch_is_exact(mode: Mode, start: int) -> None:
    length = len(CombinedLoader([short(), long()], mode))
    start = min(start, length)
    expected, found = resumed(
        lambda: CombinedLoader({"a": short(), "b": [long()]}, mode),
        lambda: CombinedLoader({"a": short(2), "b": [long(1)]}, mode),
        start=start,
    )
    assert same(found, expected)
    assert list(map(len, found)) == [length - start, length]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("start", [1, 5])
def test_so_it_is_with_generators_of_their_own(mode: Mode, start: int) -> None:
    def make(workers: int = 0) -> CombinedLoader:
        return CombinedLoader([short(workers, generator=generator(1)), long(generator=generator(2))], mode)

    start = min(start, len(make()))
    expected, found = resumed(make, lambda: make(2), start=start)
    assert same(found, expected)


class Unsized:
    def __init__(self, length: int) -> None:
        self.length = length
        self.passes = 0

    def __iter__(self) -> Iterator[list[float]]:
        self.passes += 1
        for index in range(self.length):
            yield [index, *draw()]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("first", "second"), [(3, 8), (8, 3), (4, 4)])
@pytest.mark.parametrize("start", [0, 1, 3, 5])
def test_so_it_is_with_loaders_without_lengths(mode: Mode, first: int, second: int, start: int) -> None:
    length = len(CombinedLoader([range(first), range(second)], mode))
    start = min(start, length)
    expected, found = resumed(lambda: CombinedLoader([Unsized(first), Unsized(second)], mode), start=start)
    assert same(found, expected)
    assert list(map(len, found)) == [length - start, length]


def test_where_loaders_without_lengths_stand_is_known_when_one_batch_more_was_read() -> None:
    def make() -> list[Unsized]:
        return [Unsized(3), Unsized(8)]

    expected = read(make())
    feed = feed_of(make())
    iterator = feed.batches(7, 0)
    for _ in range(4):  # the fourth begins the first loader anew
        next(iterator)
    for position in (3, 4):
        again = feed_of(make())
        again.load_state_dict(carried(feed.state_dict()), position=position)
        assert list(again.batches(7, 0, position)) == expected[position:]


def test_each_cycle_is_shuffled_anew() -> None:
    batches = read({"a": short(), "b": long()})
    assert len(batches) == 8
    cycles = [order([batch["a"] for batch in batches[at : at + 3]]) for at in (0, 3)]
    assert cycles[0] != cycles[1]
    assert sorted(cycles[0]) == sorted(cycles[1]) == list(range(6))
    assert sorted(order([batch["b"] for batch in batches])) == list(range(8))


def test_loaders_draw_from_streams_of_their_own() -> None:
    batches = read([long(), long()])
    first, second = (torch.cat([batch[which] for batch in batches]) for which in (0, 1))
    assert not torch.equal(first[:, 0], second[:, 0])
    assert len(torch.cat([first, second])[:, 1].unique()) == 16
    passes = [list(feed.batches(7, 0)) for feed in evaluation_feeds([long(), long()])]
    assert not same(passes[0], passes[1])


def test_skipped_batches_are_not_read() -> None:
    loaders = {"a": short(), "b": long()}
    read(loaders, start=7)
    assert [len(loader.dataset.read) for loader in loaders.values()] == [2, 1]  # type: ignore[attr-defined]
    unsized = Unsized(9)
    read(CombinedLoader([short(), unsized], "sequential"), start=2)
    assert unsized.passes == 1


@pytest.mark.parametrize(
    ("mode", "limit", "length"),
    [
        ("min_size", 1.0, 3),
        ("min_size", 2, 2),
        ("min_size", 0.5, 1),
        ("max_size_cycle", 1.0, 8),
        ("max_size_cycle", 5, 5),
        ("max_size_cycle", 0.5, 4),
        ("max_size", 2, 2),
        ("max_size", 0.75, 6),
        ("sequential", 1.0, 11),
        ("sequential", 5, 8),
        ("sequential", 0.5, 5),
        ("sequential", 0, 0),
    ],
)
def test_a_limit_counts_for_each_loader(mode: Mode, limit: Any, length: int) -> None:
    whole = read(CombinedLoader([short(), long()], mode))
    feed = feed_of(CombinedLoader([short(), long()], mode), limit=limit)
    found = list(feed.batches(7, 0))
    assert feed.num_batches == len(found) == length
    if mode != "sequential":
        assert same(found, whole[:length])
    else:
        own = length - 5 if limit == 5 else 1 if limit == 0.5 else min(3, length)
        assert same(found, whole[:own] + whole[3 : 3 + length - own])


def test_loaders_may_be_nested_and_stand_beside_lists_of_batches() -> None:
    batches = read({"a": [range(2), (range(3),)], "b": [torch.zeros(1), torch.ones(1)]})
    assert [batch["a"] for batch in batches] == [[0, (0,)], [1, (1,)], [0, (2,)]]
    assert [float(batch["b"]) for batch in batches] == [0, 1, 0]


def test_a_list_of_batches_is_no_list_of_loaders() -> None:
    for source in (
        [torch.zeros(4, 2), torch.ones(4, 2)],
        [[torch.zeros(4, 2), torch.zeros(4)]] * 2,
        [{"x": torch.zeros(4), "name": ["a", "b"]}] * 2,
        ((torch.zeros(1).numpy(), 3), (torch.zeros(1).numpy(), 4)),
    ):
        assert read(source)[1] is source[1]  # type: ignore[index]
        assert len(evaluation_feeds(source)) == 1


@pytest.mark.parametrize("source", [[range(2), range(3)], {"a": range(2), "b": [range(3)]}])
def test_evaluation_reads_one_loader_after_the_other(source: Any) -> None:
    feeds = evaluation_feeds(source, limit=2)
    assert [list(feed.batches(7, 0)) for feed in feeds] == [[0, 1], [0, 1]]
    assert [feed.num_batches for feed in feeds] == [2, 2]
    together = evaluation_feeds(CombinedLoader(source, "sequential"))
    assert [list(feed.batches(7, 0)) for feed in together] == [[0, 1], [0, 1, 2]]


def test_evaluation_reads_several_at_once_if_asked_to() -> None:
    (feed,) = evaluation_feeds(CombinedLoader([range(2), range(3)], "max_size"))
    assert list(feed.batches(7, 0)) == [[0, 0], [1, 1], [None, 2]]
    with pytest.raises(
        UsageError, match=r'^CombinedLoader\(mode="max_size"\): predictions .*; pass mode="sequential"$'
    ):
        evaluation_feeds(CombinedLoader([range(2)], "max_size"), split="predict")


def test_an_epoch_is_not_finished_with_other_loaders() -> None:
    state = feed_of([range(2), range(3)]).state_dict()
    with pytest.raises(
        UsageError, match=r"^the checkpoint was made with 2 train loaders, and there are 3 now$"
    ):
        feed_of([range(2), range(3), range(4)]).load_state_dict(state)
    with pytest.raises(UsageError, match=r"after 1 batches of an epoch of 3 batches, .* has 5 batches now"):
        feed_of([range(2), range(5)]).load_state_dict(state, position=1)


def test_workers_of_all_loaders_end() -> None:
    import multiprocessing

    before = len(multiprocessing.active_children())
    feed = feed_of([short(1, persistent_workers=True), Stream(), long(1)])
    iterator = feed.batches(7, 0)
    next(iterator)
    assert len(multiprocessing.active_children()) == before + 2
    del iterator
    feed.close()
    assert len(multiprocessing.active_children()) == before
