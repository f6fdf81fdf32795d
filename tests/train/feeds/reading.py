"""Data that draws, and what is needed to read it in two ways and compare."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, TensorDataset, default_collate, get_worker_info

from lifecycle.train.feed import Feed, feed_of
from tests.train.small import same

SAMPLES, SIZE, BATCHES = 22, 4, 6


def draw() -> list[float]:
    """A number from each of the three generators of the process."""
    return [random.random(), float(np.random.rand()), torch.rand(()).item()]


def disturb() -> None:
    """What a training step does to the generators."""
    torch.randn(random.randrange(1, 9))
    np.random.rand(3)


class Augmented(Dataset[Tensor]):
    """Each sample is its index and three random numbers; counts what is read."""

    def __init__(self, length: int = SAMPLES) -> None:
        self.length = length
        self.read: list[int] = []

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Tensor:
        self.read.append(index)
        return torch.tensor([float(index), *draw()])


class InLists(Augmented):
    """Is asked for whole lists of samples."""

    def __getitems__(self, indices: list[int]) -> list[Tensor]:
        noise = draw()
        return [torch.tensor([float(index), *noise]) for index in indices]


def noisy(batch: list[Tensor]) -> Tensor:
    """Mixes in the order of the batch, as mixup does."""
    stacked: Tensor = default_collate(batch)
    return stacked[torch.randperm(len(stacked))] + random.random() + float(np.random.rand())


def samples() -> TensorDataset:
    return TensorDataset(torch.arange(float(SAMPLES))[:, None])


def read(source: object, seed: int = 7, epoch: int = 0, start: int = 0, **options: Any) -> list[Any]:
    """The batches of an epoch, with training steps between them."""
    feed = feed_of(source, **options)
    disturb()
    found = []
    for batch in feed.batches(seed, epoch, start):
        disturb()
        found.append(batch)
    feed.close()
    return found


def order(batches: Sequence[Any]) -> list[int]:
    """The samples in the order in which they came."""
    parts = [batch[0] if isinstance(batch, list | tuple) else batch for batch in batches]
    return [int(value) for part in parts for value in part.reshape(len(part), -1)[:, 0]]


def carried(state: Any) -> Any:
    """A state as it comes out of a checkpoint."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def resumed(
    make: Callable[[], object],
    again: Callable[[], object] | None = None,
    *,
    epoch: int = 1,
    start: int = 2,
    **options: Any,
) -> tuple[list[list[Any]], list[list[Any]]]:
    """What is left of an epoch, and the next one: in an undisturbed run, and in a new process.

    Args:
        make: Makes the loader.
        again: Makes that of the new process.
        epoch: In which a checkpoint is made, while its iterator stands after a batch.
        start: How many batches were given before that.
        options: Of the feeds.
    """
    undisturbed, broken_off, feed = (feed_of(made(), **options) for made in (make, make, again or make))

    def rest(feed: Feed, epoch: int, start: int = 0) -> list[Any]:
        found = []
        for batch in feed.batches(7, epoch, start):
            disturb()
            found.append(batch)
        return found

    for number in range(epoch):
        assert same(rest(undisturbed, number), rest(broken_off, number))
    whole = rest(undisturbed, epoch)
    iterator = broken_off.batches(7, epoch)
    for _ in range(start):
        next(iterator)
        disturb()
    state = carried(broken_off.state_dict())
    del iterator
    disturb()
    feed.load_state_dict(state, position=start)
    # The trainer does not ask for what is left if that was the last batch.
    left = rest(feed, epoch, start) if start < len(whole) else []
    found = [left, rest(feed, epoch + 1)]
    expected = [whole[start:], rest(undisturbed, epoch + 1)]
    for each in (undisturbed, broken_off, feed):
        each.close()
    return expected, found


def generator(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Stream(IterableDataset[Tensor]):
    """Samples with noise, from a share for each worker."""

    def __iter__(self) -> Iterator[Tensor]:
        info = get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        for index in range(first, SAMPLES, step):
            yield torch.tensor([float(index), *draw()])
