"""Several loaders read as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Any, Literal, TypeAlias, cast, get_args

from lifecycle.core.errors import UsageError, suggest
from lifecycle.train.feeds.base import length_of

Mode: TypeAlias = Literal["min_size", "max_size_cycle", "max_size", "sequential"]
Count: TypeAlias = int | float  # infinite where it is not known
_NONE: Any = object()


class CombinedLoader(Iterable[Any]):
    """Reads several iterables together, in collections as they are given, or one after the other.

    Iterating gives ``(batch, batch_idx, dataloader_idx)``.

    Args:
        iterables: Loaders in lists, tuples and dictionaries, nested at will; batches come in the same.
        mode: ``min_size`` ends with the shortest; ``max_size_cycle`` with the longest, and begins the others
            anew; ``max_size`` with the longest, with None in place of those that have ended; ``sequential``
            reads one after the other and gives their batches as they are.

    Attributes:
        limits: For each loader, how many of its batches count.

    >>> loader = CombinedLoader({"a": [1, 2, 3], "b": [4, 5]}, "max_size_cycle")
    >>> [batch for batch, batch_idx, dataloader_idx in loader]
    [{'a': 1, 'b': 4}, {'a': 2, 'b': 5}, {'a': 3, 'b': 4}]
    """

    def __init__(self, iterables: Any, mode: Mode = "min_size") -> None:
        if mode not in get_args(Mode):
            raise UsageError(f"CombinedLoader(mode={mode!r}): {suggest(str(mode), get_args(Mode))}")
        self._iterables = iterables
        self._flattened = flatten(iterables, is_leaf)
        self._mode: Mode = mode
        self._limits: list[Count] | None = None
        self._iterator: Iterator[tuple[Any, int, int]] | None = None

    @property
    def mode(self) -> Mode:
        """How the loaders are read."""
        return self._mode

    @property
    def iterables(self) -> Any:
        """The collection."""
        return self._iterables

    @property
    def flattened(self) -> list[Any]:
        """The loaders, in a list; another list of as many takes their places."""
        return self._flattened

    @flattened.setter
    def flattened(self, flattened: list[Any]) -> None:
        if len(flattened) != len(self._flattened):
            raise UsageError(
                f"there are {len(self._flattened)} loaders, and {len(flattened)} to replace them"
            )
        self._iterables = self.arranged(flattened)
        self._flattened = flattened

    @property
    def limits(self) -> list[Count] | None:
        """For each loader, how many of its batches count; None for all."""
        return self._limits

    @limits.setter
    def limits(self, limits: Count | list[Count] | None) -> None:
        if isinstance(limits, int | float):
            limits = [limits] * len(self._flattened)
        if limits is not None and len(limits) != len(self._flattened):
            raise UsageError(f"there are {len(self._flattened)} loaders, and {len(limits)} limits")
        self._limits = limits

    @property
    def sampler(self) -> Any:
        """The loaders' samplers, in the same collections."""
        return self.arranged([getattr(loader, "sampler", None) for loader in self._flattened])

    @property
    def batch_sampler(self) -> Any:
        """The loaders' batch samplers, in the same collections."""
        return self.arranged([getattr(loader, "batch_sampler", None) for loader in self._flattened])

    def arranged(self, values: Iterable[Any]) -> Any:
        """One value for each loader, in the same collections."""
        return arranged(self._iterables, iter(values), is_leaf)

    def __len__(self) -> int:
        """How many batches there are under the limits.

        Raises:
            TypeError: it is not known.
        """
        found = combined_length(self._mode, [_length(loader) for loader in self._flattened], self._limits)
        if found == float("inf"):
            raise TypeError("a CombinedLoader of loaders without lengths has none")
        return int(found)

    def __iter__(self) -> CombinedLoader:
        self._iterator = self._read()
        return self

    def __next__(self) -> tuple[Any, int, int]:
        if self._iterator is None:
            raise RuntimeError("call iter() on a CombinedLoader first")
        return next(self._iterator)

    def reset(self) -> None:
        """Let go of the iterators, and of the workers that wait for another pass."""
        self._iterator = None
        for loader in self._flattened:
            if "_iterator" in getattr(loader, "__dict__", {}):
                vars(loader)["_iterator"] = None

    def _read(self) -> Iterator[tuple[Any, int, int]]:
        if self._mode == "sequential":
            for which, loader in enumerate(self._flattened):
                limit = float("inf") if self._limits is None else self._limits[which]
                for index, batch in enumerate(iter(loader) if limit > 0 else ()):
                    yield batch, index, which
                    if index + 1 >= limit:
                        break
            return
        begin = [partial(_anew, loader) for loader in self._flattened]
        for index, batches in enumerate(together(self._mode, begin)):
            yield self.arranged(batches), index, 0


class Cycles:
    """Where each of several loaders stands.

    Attributes:
        cycle: How often it came to its end and, unless the mode is ``max_size``, was begun anew.
        since: How many batches the combination had given then.
    """

    def __init__(self, cycle: list[int], since: list[int]) -> None:
        self.cycle = cycle
        self.since = since


def together(
    mode: Mode, begin: Sequence[Callable[[int], Iterator[Any]]], cycles: Cycles | None = None, start: int = 0
) -> Iterator[list[Any]]:
    """One batch of each loader at a time.

    Args:
        mode: Any but ``sequential``.
        begin: For each loader, what gives an iterator for a cycle.
        cycles: Where the loaders stand; kept up to date.
        start: How many batches were given before.
    """
    cycles = cycles or Cycles([0] * len(begin), [0] * len(begin))
    iterators = [opened(cycle) for opened, cycle in zip(begin, cycles.cycle, strict=True)]
    for index in count(start) if iterators else ():
        batches = []
        for which, iterator in enumerate(iterators):
            batch = next(iterator, _NONE)
            if batch is _NONE and mode == "max_size_cycle":
                cycles.cycle[which] += 1
                cycles.since[which] = index
                if all(cycles.cycle):
                    return
                iterators[which] = begin[which](cycles.cycle[which])
                batch = next(iterators[which], _NONE)
            if batch is _NONE:
                if mode != "max_size":
                    return
                cycles.cycle[which] = 1
            batches.append(batch)
        if all(batch is _NONE for batch in batches):
            return
        yield [None if batch is _NONE else batch for batch in batches]


def _anew(loader: Iterable[Any], cycle: int) -> Iterator[Any]:
    return iter(loader)


def combined_length(mode: Mode, lengths: list[Count], limits: list[Count] | None = None) -> Count:
    """How many batches a combination has; infinite where it is not known.

    >>> combined_length("max_size_cycle", [3, 8]), combined_length("sequential", [3, 8], [2, 9])
    (8, 10)
    """
    if limits is None:
        limits = [float("inf")] * len(lengths)
    counted = [min(length, limit) for length, limit in zip(lengths, limits, strict=True)]
    if not counted or mode == "sequential":
        return sum(counted)
    if mode == "max_size_cycle" and 0 in lengths:
        return 0
    return min(counted) if mode == "min_size" else max(counted)


def is_leaf(item: object) -> bool:
    """Whether it is itself iterated over: no collection, or one of numbers and text alone."""
    if not isinstance(item, list | tuple | dict):
        return True
    return all(isinstance(part, int | float | str) for part in _values(item))


def is_batches(item: object) -> bool:
    """The same for what is passed to a trainer, where a list may hold batches as well as loaders."""
    if isinstance(item, Mapping):
        return False
    return not (isinstance(item, list | tuple) and any(_holds_loader(part) for part in item))


def _holds_loader(item: object) -> bool:
    if isinstance(item, list | tuple | Mapping):
        return any(_holds_loader(part) for part in _values(item))
    plain = isinstance(item, str | bytes) or hasattr(item, "to") or hasattr(item, "__array__")
    return hasattr(item, "__iter__") and not plain


def flatten(item: Any, leaf: Callable[[object], bool]) -> list[Any]:
    """The leaves of nested lists, tuples and dictionaries, in their order."""
    if leaf(item):
        return [item]
    return [found for part in _values(item) for found in flatten(part, leaf)]


def arranged(like: Any, values: Iterator[Any], leaf: Callable[[object], bool]) -> Any:
    """Values in the same collections as the leaves of another."""
    if leaf(like):
        return next(values)
    parts = [arranged(part, values, leaf) for part in _values(like)]
    if isinstance(like, Mapping):
        made = cast("Any", like.copy() if isinstance(like, dict) else {})  # keeps a default factory
        made.update(zip(like, parts, strict=True))
        return made
    return type(like)(*parts) if hasattr(like, "_fields") else type(like)(parts)


def _values(item: Any) -> Iterable[Any]:
    return item.values() if isinstance(item, Mapping) else item


def _length(loader: object) -> Count:
    length = length_of(loader)
    return float("inf") if length is None else length
