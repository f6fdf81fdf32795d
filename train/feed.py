"""The feed of whatever a user gives as data: loaders, collections of them, lists of batches, iterables.

====================================================  ==================================================
what                                                  how an epoch goes on at batch n
====================================================  ==================================================
a torch DataLoader over a data set with indices       the index lists before n are drawn, not read
one whose class has its own ``__iter__``              read again up to n
one over an iterable data set                         read again up to n, unless the data set keeps its
                                                      state and is read in this process
a loader with ``state_dict`` and ``load_state_dict``  from its own state
a list or another sequence of batches                 from its item n
any other iterable                                    read again up to n
several loaders                                       each from where it stood
====================================================  ==================================================
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from torch.utils.data import DataLoader, IterableDataset

from lifecycle.core.errors import UsageError
from lifecycle.train.combined import CombinedLoader, Mode, arranged, combined_length, flatten, is_batches
from lifecycle.train.feeds.base import Feed, Reading, Size
from lifecycle.train.feeds.iterated import IteratedFeed
from lifecycle.train.feeds.joined import JoinedFeed
from lifecycle.train.feeds.listed import ListedFeed
from lifecycle.train.feeds.mapped import MappedFeed
from lifecycle.train.feeds.memory import Stateful
from lifecycle.train.feeds.opener import as_it_is, opener_of
from lifecycle.train.feeds.shards import WHOLE, Shard
from lifecycle.train.feeds.stateful import StatefulFeed
from lifecycle.train.limits import Limit, limited

__all__ = ["Feed", "Reading", "Shard", "Size", "evaluation_feeds", "feed_of"]


def feed_of(
    source: object,
    *,
    limit: Limit = 1.0,
    split: str = "train",
    ordered: bool = False,
    rehearsal: bool = False,
    shard: Shard = WHOLE,
) -> Feed:
    """The batches of a loader, or of several at once: those that end before the longest begin anew.

    Args:
        source: A loader, loaders in lists and dictionaries, a `CombinedLoader`, or batches.
        limit: How many batches of each, or as a float which fraction of them.
        split: ``train``, ``val``, ``test`` or ``predict``.
        ordered: Without shuffling.
        rehearsal: Whatever is read, generators and data are left as they were.
        shard: This process among those that read.

    Raises:
        UsageError: it cannot be iterated over, or the limit does not fit.
    """
    reading = Reading(split=split, limit=limit, ordered=ordered, rehearsal=rehearsal, shard=shard)
    if isinstance(source, CombinedLoader):
        return _joined(source, source.flattened, source.mode, source.arranged, reading)
    if is_batches(source):
        return _single(source, reading)
    arrange = partial(_arranged, source)
    return _joined(source, flatten(source, is_batches), "max_size_cycle", arrange, reading)


def evaluation_feeds(
    source: object,
    *,
    limit: Limit = 1.0,
    split: str = "val",
    ordered: bool = False,
    shard: Shard = WHOLE,
) -> list[Feed]:
    """The feeds of loaders that are read one after the other; a `CombinedLoader` may make them one.

    Args:
        source: A loader, loaders in lists and dictionaries, a `CombinedLoader`, or batches.
        limit: How many batches of each, or as a float which fraction of them.
        split: ``val``, ``test`` or ``predict``.
        ordered: Without shuffling.
        shard: This process among those that read; each sample is read by one.

    Raises:
        UsageError: it cannot be iterated over, or the limit does not fit.
    """
    if isinstance(source, CombinedLoader) and source.mode != "sequential":
        if split == "predict" and limit:
            raise UsageError(
                f'CombinedLoader(mode="{source.mode}"): predictions are made for one loader after the other; '
                'pass mode="sequential"'
            )
        return [feed_of(source, limit=limit, split=split, ordered=ordered, shard=shard)]
    loaders = source.flattened if isinstance(source, CombinedLoader) else flatten(source, is_batches)
    reading = Reading(split=split, limit=limit, ordered=ordered, shard=shard)
    return [_single(loader, replace(reading, stream=which)) for which, loader in enumerate(loaders)]


def _joined(
    source: object,
    loaders: Sequence[object],
    mode: Mode,
    arrange: Callable[[list[Any]], Any],
    reading: Reading,
) -> Feed:
    """One feed of several loaders."""
    # Whoever is read in turn ends at its own limit; else the combination does, and shorter ones go on.
    own = reading if mode == "sequential" else replace(reading, limit=1.0)
    feeds = [_single(loader, replace(own, stream=which)) for which, loader in enumerate(loaders, 1)]
    sizes = [feed.size["batches"] for feed in feeds]
    lengths = [_infinite(size) for size in sizes]
    limits = [_infinite(limited(size, reading.limit, reading.split)) for size in sizes]
    num_batches = _finite(combined_length(mode, lengths, limits))
    return JoinedFeed(
        source, feeds, mode, arrange, num_batches, _finite(combined_length(mode, lengths)), reading
    )


def _arranged(like: object, batches: list[Any]) -> Any:
    return arranged(like, iter(batches), is_batches)


def _single(source: object, reading: Reading) -> Feed:
    """The feed of one loader."""
    if not hasattr(source, "__iter__") and not hasattr(source, "__getitem__"):
        raise UsageError(
            f"the {reading.split} data is no loader but a {type(source).__name__}: "
            "pass a DataLoader, a collection of them, or something else to iterate over"
        )
    feed = _choose(source, reading)
    if feed.size["batches"] == 0 and reading.limit and reading.shard.count == 1:
        warnings.warn(f"the {reading.split} loader has no batches: nothing is read from it", stacklevel=4)
    return feed


def _choose(source: Any, reading: Reading) -> Feed:
    if isinstance(source, DataLoader) and not isinstance(source, Stateful):
        dataset = source.dataset
        if not isinstance(dataset, IterableDataset):
            own = type(source).__iter__ is not DataLoader.__iter__
            return IteratedFeed(source, reading) if own else MappedFeed(source, reading)
        if isinstance(dataset, Stateful) and not source.num_workers:
            return StatefulFeed(source, dataset, opener_of(source, reading.shard), reading)
    elif isinstance(source, Sequence) and not isinstance(source, str | bytes):
        return ListedFeed(source, reading)
    elif isinstance(source, Stateful) and isinstance(source, Iterable):
        return StatefulFeed(source, source, as_it_is(source), reading)
    return IteratedFeed(source, reading)


def _infinite(number: int | None) -> int | float:
    return float("inf") if number is None else number


def _finite(number: int | float) -> int | None:
    return None if number == float("inf") else int(number)
