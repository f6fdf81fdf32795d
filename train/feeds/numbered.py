"""Batches of a torch DataLoader as the same numbers everywhere: each is read in a stream of its own.

A copy of the user's loader is given index lists that carry a seed, and a data set that seeds the generators
with it before it reads; so a batch comes out the same in the process of the trainer and in any worker.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from typing import Any, cast

import numpy as np
import torch
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    default_convert,
    get_worker_info,
)
from torch.utils.data.distributed import DistributedSampler

from lifecycle.train.feeds.base import DATA, ORDER, WORKERS, set_epoch
from lifecycle.train.feeds.shards import Sharded
from lifecycle.train.seeding import mix, seed_all, seed_batch

# They draw before they give their first index, if they draw at all.
_DRAW_AT_ONCE = (
    SequentialSampler,
    RandomSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
    DistributedSampler,
    list,
    tuple,
    range,
)
_DRAW_NOTHING = (TensorDataset, list, tuple, range, torch.Tensor, np.ndarray)


class Numbered(tuple[int, int, Any]):
    """A seed, an epoch, and what a loader's sampler gave: an index or a list of them."""

    __slots__ = ()


class NumberedData:
    """A data set that seeds the generators of its process for every batch.

    Args:
        dataset: The user's.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self._tell: Callable[[int], object] | None = getattr(dataset, "set_epoch", None)
        self._epoch: int | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "dataset":  # not there yet while it is being unpickled
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: Any) -> Any:
        return self.dataset[self._begin(index) if type(index) is Numbered else index]

    def __getitems__(self, indices: Any) -> Any:
        if type(indices) is Numbered:
            indices = self._begin(indices)
        fetch = getattr(self.dataset, "__getitems__", None)
        return fetch(indices) if fetch else [self.dataset[index] for index in indices]

    def _begin(self, numbered: Numbered) -> Any:
        seed, epoch, index = numbered
        if self._tell is not None and epoch != self._epoch:
            self._tell(epoch)  # a persistent worker's copy hears of it here
            self._epoch = epoch
        seed_all(seed)
        return index


class SeededStream(IterableDataset[Any]):
    """An iterable data set whose persistent workers begin each pass from a seed.

    Args:
        dataset: The user's.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self._shared = torch.zeros(2, dtype=torch.int64)
        self._shared.share_memory_()  # type: ignore[no-untyped-call]  # workers live through many passes

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "dataset":
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def begin(self, seed: int, epoch: int) -> None:
        """Say where the next pass begins."""
        self._shared[0], self._shared[1] = seed, epoch

    def __iter__(self) -> Iterator[Any]:
        seed, epoch = self._shared.tolist()
        worker = get_worker_info()
        seed_all(mix(seed, 0 if worker is None else worker.id))
        if tell := getattr(self.dataset, "set_epoch", None):
            tell(epoch)
        return iter(self.dataset)


class Order:
    """Which samples come, batch by batch, from any position: takes the place of a loader's sampler.

    Args:
        given: The sampler or batch sampler.
        generator: The loader's own; its iterators draw from it before the sampler does.
        numbered: Whether index lists carry seeds.
        most: Batches of a pass at most.
        whole: Whether that is all there are.
        kept: Takes the index lists that are given; None keeps none.
        stream: Mixed into the seeds of data; empty for the first process.
    """

    def __init__(
        self,
        given: Iterable[Any],
        generator: torch.Generator | None,
        *,
        numbered: bool,
        most: int | None,
        whole: bool,
        kept: list[object] | None = None,
        stream: tuple[int, ...] = (),
    ) -> None:
        self.given = given
        self._generator = generator
        self._numbered = numbered
        self._most = most
        self._whole = whole
        self._kept = kept
        self._stream = stream
        inner: Any = cast("Any", given).sampler if type(given) is BatchSampler else given
        if type(inner) is Sharded:
            inner = inner.given
        self._draws_later = type(inner) not in _DRAW_AT_ONCE
        self._all: Iterator[Any] = iter(())
        self._lists: Iterator[Any] = iter(())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "given":
            raise AttributeError(name)
        return getattr(self.given, name)

    def __len__(self) -> int:
        return len(cast("Any", self.given))

    def __iter__(self) -> Iterator[Any]:
        """What is left of the pass that `begin` began; an iterator of a loader asks for it twice."""
        return self._lists

    def begin(self, seed: int, epoch: int, start: int) -> None:
        """Begin a pass at a batch; those before it are drawn, which costs little, and not read."""
        if self._kept is not None:
            self._kept.clear()
        seed_batch(seed, epoch, -1)
        lists = iter(self.given)
        draw_base_seed(self._generator)
        if self._draws_later:
            lists = _drawn_alone(lists, seed, epoch)
        left = None if self._most is None else max(self._most - start, 0)
        deque(islice(lists, start if self._most is None else min(start, self._most)), maxlen=0)
        # What draws from the process's generators draws now, not when a worker has room for more.
        first = list(islice(lists, 1)) if left != 0 else []
        self._all = chain(first, lists)
        self._lists = islice(self._all, left)
        if self._numbered:
            self._lists = _numbered(self._lists, mix(seed, epoch, DATA, *self._stream), epoch, start)
        if self._kept is not None:
            self._lists = _noted(self._lists, self._kept)

    def finish(self) -> None:
        """Draw what is left of the pass: generators end alike wherever it was broken off."""
        if self._most is not None:
            deque(self._lists, maxlen=0)
            if self._whole:
                next(self._all, None)  # a sampler may draw once more when it ends


def _drawn_alone(lists: Iterator[Any], seed: int, epoch: int) -> Iterator[Any]:
    """A sampler that may draw later on does so in streams of its own, whenever it is asked."""
    for number, indices in enumerate(lists, 1):
        yield indices
        seed_all(mix(seed, epoch, number, ORDER))


def _numbered(lists: Iterator[Any], base: int, epoch: int, start: int) -> Iterator[Numbered]:
    for number, indices in enumerate(lists, start):
        yield Numbered((mix(base, number), epoch, indices))


def _noted(lists: Iterator[Any], kept: list[object]) -> Iterator[Any]:
    for indices in lists:
        kept.append(indices[2] if type(indices) is Numbered else indices)
        yield indices


def draw_base_seed(generator: torch.Generator | None) -> None:
    """Draw what an iterator of a loader draws for its workers when it is made.

    So the order of data is that of `seed_batch(seed, epoch, -1)` and a plain loop over the loader.
    """
    torch.empty((), dtype=torch.int64).random_(generator=generator)


def draws_nothing(loader: DataLoader[Any]) -> bool:
    """Whether reading from this loader draws no random numbers, for all that can be known."""
    return loader.collate_fn in (default_collate, default_convert) and _is_plain(loader.dataset)


def _is_plain(dataset: object) -> bool:
    if type(dataset) is Subset:
        return _is_plain(dataset.dataset)
    if type(dataset) is ConcatDataset:
        return all(_is_plain(part) for part in dataset.datasets)
    return type(dataset) in _DRAW_NOTHING


def copied(loader: DataLoader[Any], **changes: object) -> DataLoader[Any]:
    """A loader that shares everything with another but its workers and what is changed.

    Past the guard of `DataLoader.__setattr__`, and without its ``__init__``, whose arguments a subclass may
    have changed.
    """
    made = object.__new__(type(loader))
    vars(made).update(vars(loader))
    vars(made).update({"_iterator": None, "in_order": True, "generator": torch.Generator(), **changes})
    if made.num_workers and isinstance(made.dataset, NumberedData | SeededStream):
        made.worker_init_fn = partial(_begin_worker, made.worker_init_fn)
    return made


def iterator_of(copy: DataLoader[Any], seed: int, epoch: int, stream: tuple[int, ...] = ()) -> Iterator[Any]:
    """An iterator of a copy of a loader, whose workers begin with a seed that follows from these."""
    assert copy.generator is not None
    copy.generator.manual_seed(mix(seed, epoch, WORKERS, *stream))
    return iter(copy)


def tell_epoch(loader: DataLoader[Any], epoch: int) -> None:
    """Tell samplers and data set of a loader which epoch begins."""
    inner = getattr(loader.batch_sampler, "sampler", None)
    set_epoch(epoch, loader.sampler, loader.batch_sampler, inner, loader.dataset)


def _begin_worker(user: Callable[[int], None] | None, worker: int) -> None:
    """Show the user's own data set to the user's own function."""
    info = get_worker_info()
    assert info is not None
    object.__setattr__(info, "dataset", cast("Any", info.dataset).dataset)  # it is frozen
    if user is not None:
        user(worker)
