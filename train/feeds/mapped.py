"""Feed of a torch DataLoader over a data set with indices: skipped batches are not read."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from lifecycle.train.feeds.base import Feed, Reading, Size, length_of
from lifecycle.train.feeds.memory import Memory, Stateful
from lifecycle.train.feeds.numbered import (
    NumberedData,
    Order,
    copied,
    draws_nothing,
    iterator_of,
    tell_epoch,
)
from lifecycle.train.feeds.shards import shared_out
from lifecycle.train.generators import generators
from lifecycle.train.limits import limited

log = logging.getLogger(__name__)


class MappedFeed(Feed):
    """Batches of a DataLoader, read in streams of their own, by any number of workers.

    Args:
        loader: The user's.
        reading: How it is read.
    """

    def __init__(self, loader: DataLoader[Any], reading: Reading) -> None:
        predicting = reading.split == "predict"
        given = _index_lists(loader, whole=predicting, ordered=reading.ordered)
        # Who trains has as much as the others; what is scored is not to count twice.
        given = shared_out(given, reading.shard, even=reading.split == "train")
        own = given is loader.batch_sampler or given is loader.sampler
        length = length_of(loader if own else given)
        samples = length_of(loader.dataset)
        num_batches = limited(length, reading.limit, reading.split)
        super().__init__(loader, Size(batches=length, samples=samples), num_batches, reading)
        self._loader = loader
        plain = draws_nothing(loader)
        self._order = Order(
            given,
            loader.generator,
            numbered=not plain,
            most=num_batches,
            whole=num_batches == length,
            kept=self.indices if predicting else None,
            stream=reading.shard.stream,
        )
        self._copy = copied(
            loader,
            **{"sampler" if loader.batch_sampler is None else "batch_sampler": self._order},
            **({} if plain else {"dataset": NumberedData(loader.dataset)}),
        )
        self._memory = _memory(loader, self._order, plain=plain, training=reading.split == "train")
        if not loader.in_order:
            log.info("in_order=False of the %s loader has no effect: batches come in order", reading.split)

    def batches(self, seed: int, epoch: int, start: int = 0) -> Iterator[Any]:
        """The batches `start`, `start` + 1, … of an epoch."""
        seed = self._seed(seed)
        if not self._memory:
            return self._begin(seed, epoch, start)
        iterator = self._memory.begin(seed, epoch, start, lambda: self._begin(seed, epoch, start))
        return self._memory.watch(iterator, self._order.finish, put_back=self.reading.leaves_no_trace)

    def _begin(self, seed: int, epoch: int, start: int) -> Iterator[Any]:
        tell_epoch(self._loader, epoch)
        self._order.begin(seed, epoch, start)
        if self.num_batches is not None and start >= self.num_batches:
            return iter(())  # no workers are started for nothing
        return iterator_of(self._copy, seed, epoch, self.reading.shard.stream)

    def state_dict(self) -> dict[str, object]:
        """The size of the data, and the states of generators that are the loader's own."""
        state = super().state_dict()
        if self._memory:
            state["memory"] = self._memory.state_dict()
        return state

    def load_state_dict(self, state: Mapping[str, Any], position: int = 0) -> None:
        """Take back what `state_dict` gave."""
        super().load_state_dict(state, position)
        if "memory" in state:
            self._memory.load_state_dict(state["memory"])

    def close(self) -> None:
        """End persistent workers."""
        vars(self._copy)["_iterator"] = None


def _index_lists(loader: DataLoader[Any], *, whole: bool, ordered: bool) -> Iterable[Any]:
    """What gives the loader's indices, or lists of them.

    Args:
        loader: The user's.
        whole: An incomplete last batch is given even if the loader drops it: every sample is predicted.
        ordered: Samples come in the order of the data set.
    """
    lists, sampler = loader.batch_sampler, loader.sampler
    if ordered and isinstance(getattr(lists, "sampler", sampler), SequentialSampler):
        ordered = False
    if lists is None:
        return SequentialSampler(cast("Any", loader.dataset)) if ordered else sampler
    size, drop_last = getattr(lists, "batch_size", None), getattr(lists, "drop_last", False)
    if ordered and size is None:
        log.warning("overfitting without shuffling: the order of %s cannot be changed", type(lists).__name__)
        ordered = False
    if not ordered and not (whole and drop_last and type(lists) is BatchSampler):
        return lists
    if ordered:
        log.info("overfitting: the data is not shuffled")
        sampler = SequentialSampler(cast("Any", loader.dataset))
    return BatchSampler(cast("Any", sampler), cast("int", size), drop_last and not whole)


def _memory(loader: DataLoader[Any], order: Order, *, plain: bool, training: bool) -> Memory:
    """Who keeps states: the samplers; and the data, where it is read in this process."""

    def draw(seed: int, epoch: int) -> None:
        tell_epoch(loader, epoch)
        order.begin(seed, epoch, 0)
        order.finish()

    own = generators(generator=loader.generator, sampler=order.given, without=(loader.dataset,))
    if plain:
        return Memory(own, draw=draw)
    found = generators(dataset=loader.dataset, collate_fn=loader.collate_fn)
    if not loader.num_workers:
        parts = _parts("dataset", loader.dataset)
        return Memory(own, found, {name: part for name, part in parts if isinstance(part, Stateful)}, draw)
    if found and training:
        warnings.warn(
            f"the data draws from generators of its own ({', '.join(found)}), and each worker of the loader "
            "from a copy of them: going on within an epoch will not repeat these numbers. Draw from random, "
            "numpy.random or torch, which are seeded for every batch, or read with num_workers=0",
            stacklevel=6,
        )
    return Memory(own, draw=draw)


def _parts(name: str, dataset: Any, depth: int = 8) -> Iterator[tuple[str, object]]:
    """A data set, and those that it was made of."""
    yield name, dataset
    inner, several = getattr(dataset, "dataset", None), getattr(dataset, "datasets", ())
    if depth and inner is not None:
        yield from _parts(f"{name}.dataset", inner, depth - 1)
    for index, part in enumerate(several if depth and isinstance(several, list | tuple) else ()):
        yield from _parts(f"{name}.datasets[{index}]", part, depth - 1)
