from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lifecycle.core.errors import UsageError
from lifecycle.train.feed import feed_of
from tests.train.feeds.reading import BATCHES, SIZE, Augmented, Stream, draw, noisy, resumed
from tests.train.small import same


@pytest.mark.parametrize("options", [{}, {"num_workers": 2}, {"num_workers": 2, "persistent_workers": True}])
def test_an_iterable_data_set_is_read_again_and_says_so(
    options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    def make() -> DataLoader[Tensor]:
        return DataLoader(Stream(), SIZE, collate_fn=noisy, **options)

    expected, found = resumed(make, start=3)
    assert same(found, expected)
    assert list(map(len, found)) == [BATCHES - 3, BATCHES]
    numbers = torch.cat([*found[0], *found[1]])[:, 1]
    assert len(numbers.unique()) == len(numbers)
    assert [record.getMessage() for record in caplog.records] == [
        "3 batches of the train data are read again, to go on after them: a DataLoader cannot skip any"
    ]


class OwnIteration(DataLoader[Any]):
    """Gives two batches for each list of indices."""

    def __iter__(self) -> Any:
        for batch in super().__iter__():
            yield batch[:2]
            yield batch[2:] + random.random()

    def __len__(self) -> int:
        return 2 * super().__len__()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_that_iterates_in_its_own_way_is_read_again(workers: int) -> None:
    expected, found = resumed(
        lambda: OwnIteration(Augmented(), SIZE, shuffle=True),
        lambda: OwnIteration(Augmented(), SIZE, shuffle=True, num_workers=workers),
        start=5,
    )
    assert same(found, expected)
    assert list(map(len, found)) == [12 - 5, 12]


def test_an_iterable_is_seeded_for_every_batch() -> None:
    class Plain:
        def __iter__(self) -> Iterator[list[float]]:
            for _ in range(4):
                yield draw()

    expected, found = resumed(Plain, start=2)
    assert found == expected
    assert list(map(len, found)) == [2, 4]


def test_a_generator_can_be_read_once_or_in_parts() -> None:
    feed = feed_of(iter(range(10)), limit=4)
    assert list(feed.batches(7, 0)) == [0, 1, 2, 3]
    assert list(feed.batches(7, 1)) == [4, 5, 6, 7]
    assert list(feed.batches(7, 2)) == [8, 9]
    with pytest.raises(
        UsageError,
        match=r"^the train data gave no batches the second time: a range_iterator can be read only once",
    ):
        list(feed.batches(7, 3))


@pytest.mark.parametrize(("epoch", "start"), [(0, 2), (1, 0), (2, 3)])
def test_a_generator_is_read_again_up_to_where_it_stood(epoch: int, start: int) -> None:
    expected, found = resumed(lambda: (index for index in range(100)), epoch=epoch, start=start, limit=5)
    after = 5 * epoch + 5
    assert found == expected == [list(range(5 * epoch + start, after)), list(range(after, after + 5))]


def test_an_iterable_that_became_shorter_is_noticed() -> None:
    feed = feed_of(iter(range(3)))
    with pytest.raises(
        UsageError,
        match=r"^the checkpoint was made after 5 batches of an epoch, and the train data ended after 3",
    ):
        list(feed.batches(7, 0, 5))
