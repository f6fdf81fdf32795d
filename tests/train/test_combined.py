"""What is expected here is what Lightning 2.6.6 gives."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, namedtuple
from collections.abc import Iterator
from typing import Any

import pytest
from torch.utils.data import DataLoader

from lifecycle.core.errors import UsageError
from lifecycle.train.combined import CombinedLoader, Mode

Pair = namedtuple("Pair", "x y")


class Unsized:
    def __iter__(self) -> Iterator[int]:
        return iter(range(4))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("min_size", [([0, 0], 0, 0), ([1, 1], 1, 0)]),
        ("max_size_cycle", [([0, 0], 0, 0), ([1, 1], 1, 0), ([0, 2], 2, 0), ([1, 3], 3, 0), ([0, 4], 4, 0)]),
        (
            "max_size",
            [([0, 0], 0, 0), ([1, 1], 1, 0), ([None, 2], 2, 0), ([None, 3], 3, 0), ([None, 4], 4, 0)],
        ),
        ("sequential", [(0, 0, 0), (1, 1, 0), (0, 0, 1), (1, 1, 1), (2, 2, 1), (3, 3, 1), (4, 4, 1)]),
    ],
)
def test_each_mode_reads_uneven_loaders_in_its_way(mode: Mode, expected: list[Any]) -> None:
    loader = CombinedLoader([range(2), range(5)], mode)
    assert list(loader) == list(loader) == expected
    assert len(loader) == len(expected)
    assert loader.mode == mode


@pytest.mark.parametrize(
    ("mode", "limits", "length"),
    [
        ("min_size", [1, 4], 1),
        ("max_size_cycle", [9, 3], 3),
        ("max_size", [1, 1], 1),
        ("sequential", [1, 3], 4),
        ("sequential", [0, float("inf")], 5),
    ],
)
def test_limits_count_for_each_loader(mode: Mode, limits: list[int | float], length: int) -> None:
    loader = CombinedLoader([range(2), range(5)], mode)
    loader.limits = limits
    assert len(loader) == length
    if mode == "sequential":  # the others are cut by whoever reads them
        assert len(list(loader)) == length


def test_one_limit_counts_for_all() -> None:
    loader = CombinedLoader([range(2), range(5)], "sequential")
    loader.limits = 1
    assert loader.limits == [1, 1]
    assert list(loader) == [(0, 0, 0), (0, 0, 1)]


@pytest.mark.parametrize(
    ("iterables", "first", "count"),
    [
        (range(3), 0, 1),
        ([1, 2], 1, 1),
        ({"a": range(1), "b": [5, 6]}, {"a": 0, "b": 5}, 2),
        ([range(1), (range(1), {"c": range(1)})], [0, (0, {"c": 0})], 3),
        (Pair(range(1), [range(1)]), Pair(0, [0]), 2),
        (OrderedDict(z=range(1), a=range(1)), OrderedDict(z=0, a=0), 2),
        (defaultdict(list, q=range(1)), defaultdict(list, q=0), 1),
    ],
)
def test_batches_come_in_the_collections_of_the_loaders(iterables: Any, first: Any, count: int) -> None:
    loader = CombinedLoader(iterables)
    (batch, *_) = loader
    assert batch == (first, 0, 0)
    assert type(batch[0]) is type(first)
    assert len(loader.flattened) == count
    assert loader.iterables is iterables


def test_an_empty_loader_ends_a_cycle_at_once() -> None:
    loader = CombinedLoader([range(0), range(3)], "max_size_cycle")
    assert list(loader) == []
    assert len(loader) == 0


def test_loaders_without_a_length_are_read_to_their_end() -> None:
    for mode, length in (("min_size", 2), ("max_size_cycle", 4), ("max_size", 4), ("sequential", 6)):
        loader = CombinedLoader([range(2), Unsized()], mode)  # type: ignore[arg-type]
        assert len(list(loader)) == length
    with pytest.raises(TypeError, match="has none"):
        len(loader)
    assert len(CombinedLoader([range(2), Unsized()], "min_size")) == 2


def test_loaders_can_be_replaced_one_by_one() -> None:
    loader = CombinedLoader({"a": range(2), "b": [range(3)]})
    loader.flattened = [range(5), range(6)]
    assert loader.iterables == {"a": range(5), "b": [range(6)]}
    with pytest.raises(UsageError, match=r"^there are 2 loaders, and 1 to replace them$"):
        loader.flattened = [range(1)]
    with pytest.raises(UsageError, match=r"^there are 2 loaders, and 3 limits$"):
        loader.limits = [1, 2, 3]


def test_samplers_are_shown_in_the_same_collections() -> None:
    loader = DataLoader([1, 2, 3])  # type: ignore[arg-type]
    combined = CombinedLoader({"a": loader, "b": range(3)})
    assert combined.sampler == {"a": loader.sampler, "b": None}
    assert combined.batch_sampler == {"a": loader.batch_sampler, "b": None}


def test_workers_that_wait_end_with_a_reset() -> None:
    loader = DataLoader([1, 2, 3], num_workers=1, persistent_workers=True)  # type: ignore[arg-type]
    combined = CombinedLoader([loader])
    assert len(list(combined)) == 3
    assert loader._iterator is not None
    combined.reset()
    assert loader._iterator is None
    with pytest.raises(RuntimeError, match="call iter"):
        next(combined)


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(
        UsageError,
        match=r"^CombinedLoader\(mode='max_sized'\): did you mean 'max_size'\? Allowed: max_size, ",
    ):
        CombinedLoader([], "max_sized")  # type: ignore[arg-type]
