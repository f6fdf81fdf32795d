"""How a pass over an iterable begins, so that it depends on seed and epoch alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch.utils.data import DataLoader, IterableDataset, IterDataPipe

from lifecycle.train.feeds.base import set_epoch
from lifecycle.train.feeds.numbered import (
    NumberedData,
    Order,
    SeededStream,
    copied,
    draw_base_seed,
    draws_nothing,
    iterator_of,
    tell_epoch,
)
from lifecycle.train.feeds.shards import Shard, shared_out
from lifecycle.train.generators import Generator, generators
from lifecycle.train.seeding import mix, seed_batch


@dataclass(frozen=True, kw_only=True)
class Opener:
    """Begins the passes over an iterable.

    Attributes:
        begin: Given seed and epoch, an iterator from its beginning.
        generators: Of its own, and drawn from in this process.
        copy: The loader whose workers wait for another pass, if there is one.
    """

    begin: Callable[[int, int], Iterator[Any]]
    generators: Mapping[str, Generator] = field(default_factory=dict)
    copy: DataLoader[Any] | None = None


def opener_of(source: Iterable[Any], shard: Shard, *, even: bool = False) -> Opener:
    """How passes over a loader begin that cannot skip batches, or does not show how.

    Args:
        source: A loader, or whatever can be iterated over.
        shard: This process among those that read; an iterable data set shares out its samples itself.
        even: All of them get equally many batches.
    """
    if not isinstance(source, DataLoader):
        return as_it_is(source)
    if isinstance(source.dataset, IterableDataset):
        return _stream(source, shard)
    return _hidden(source, shard, even=even)


def as_it_is(source: Iterable[Any]) -> Opener:
    """Iterate over the user's own object."""

    def begin(seed: int, epoch: int) -> Iterator[Any]:
        sampler, lists = getattr(source, "sampler", None), getattr(source, "batch_sampler", None)
        dataset = getattr(source, "dataset", None)
        set_epoch(epoch, source, sampler, lists, getattr(lists, "sampler", None), dataset)
        seed_batch(seed, epoch, -1)
        return iter(source)

    return Opener(begin=begin, generators=generators(loader=source))


def _stream(loader: DataLoader[Any], shard: Shard) -> Opener:
    """A loader over an iterable data set."""
    stays = loader.persistent_workers and not isinstance(loader.dataset, IterDataPipe)
    stream = SeededStream(loader.dataset) if stays else None
    copy = copied(loader, **({"dataset": stream} if stream else {}))

    def begin(seed: int, epoch: int) -> Iterator[Any]:
        tell_epoch(loader, epoch)
        if stream is not None:
            stream.begin(mix(seed, epoch, *shard.stream), epoch)
        seed_batch(seed, epoch, -1)
        draw_base_seed(loader.generator)
        return iterator_of(copy, seed, epoch, shard.stream)

    alone = not loader.num_workers
    own = generators(generator=loader.generator, dataset=loader.dataset if alone else None)
    return Opener(begin=begin, generators=own, copy=copy)


def _hidden(loader: DataLoader[Any], shard: Shard, *, even: bool) -> Opener:
    """A loader whose class has an ``__iter__`` of its own: what it does with index lists is not known."""
    plain = draws_nothing(loader)
    lists: Iterable[Any] = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
    given = shared_out(lists, shard, even=even)
    order = Order(given, loader.generator, numbered=not plain, most=None, whole=False, stream=shard.stream)
    copy = copied(
        loader,
        **{"sampler" if loader.batch_sampler is None else "batch_sampler": order},
        **({} if plain else {"dataset": NumberedData(loader.dataset)}),
    )

    def begin(seed: int, epoch: int) -> Iterator[Any]:
        tell_epoch(loader, epoch)
        order.begin(seed, epoch, 0)
        return iter(iterator_of(copy, seed, epoch, shard.stream))

    own = generators(generator=loader.generator, sampler=given, without=(loader.dataset,))
    if not loader.num_workers:
        own |= generators(dataset=loader.dataset, collate_fn=loader.collate_fn)
    return Opener(begin=begin, generators=own, copy=copy)
