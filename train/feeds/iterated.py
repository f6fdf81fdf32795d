"""Feed of what can only be read from its beginning: to go on within an epoch, it is read again."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from types import GeneratorType
from typing import Any

from lifecycle.core.errors import UsageError
from lifecycle.train.feeds.base import DATA, Feed, Reading, Size, length_of
from lifecycle.train.feeds.memory import Memory
from lifecycle.train.feeds.opener import opener_of
from lifecycle.train.limits import limited
from lifecycle.train.seeding import mix, seed_all

log = logging.getLogger(__name__)

_END: Any = object()


class IteratedFeed(Feed):
    """Batches of an iterable, each pass from its beginning; of an iterator, from where the last one ended.

    Args:
        source: The user's.
        reading: How it is read.
    """

    def __init__(self, source: Iterable[Any], reading: Reading) -> None:
        self._opener = opener_of(source, reading.shard, even=reading.split == "train")
        parted = reading.shard.count > 1 and self._opener.copy is not None
        length = length_of(self._opener.copy if parted else source)
        size = Size(batches=length, samples=length_of(getattr(source, "dataset", None)))
        super().__init__(source, size, limited(length, reading.limit, reading.split), reading)
        self._memory = Memory(self._opener.generators)
        self._goes_on = _goes_on(source)
        self._base = 0  # batches that the passes before this one took from an iterator
        self._taken = 0  # and all passes
        self._gave = False
        self._loaded: Mapping[str, Any] | None = None

    def batches(self, seed: int, epoch: int, start: int = 0) -> Iterator[Any]:
        """The batches `start`, `start` + 1, … of an epoch."""
        seed = self._seed(seed)
        if not self._goes_on:
            self._base = self._taken = 0
        else:
            self._base = self._taken
            if self._loaded is not None:
                self._base = self._loaded["base" if start else "taken"]
                self._loaded = None
        iterator = self._memory.begin(seed, epoch, start, lambda: self._opener.begin(seed, epoch))
        batches = self._read(iterator, mix(seed, epoch, DATA, *self.reading.shard.stream), start)
        return self._memory.watch(batches, put_back=self.reading.leaves_no_trace) if self._memory else batches

    def _read(self, iterator: Iterator[Any], base: int, start: int) -> Iterator[Any]:
        first, number = self._base + start, 0
        if again := first - self._taken:
            log.warning(
                "%d batches of the %s data are read again, to go on after them: a %s cannot skip any",
                again,
                self.reading.split,
                type(self.source).__name__,
            )
        while self.num_batches is None or number < self.num_batches:
            if number:
                seed_all(mix(base, number))
            batch = next(iterator, _END)
            if batch is _END:
                self._check_end(number, start)
                return
            self._taken += 1
            number = self._taken - self._base
            if number > start:
                yield batch
        self._gave = number > 0

    def _check_end(self, number: int, start: int) -> None:
        if number < start:
            raise UsageError(
                f"the checkpoint was made after {start} batches of an epoch, "
                f"and the {self.reading.split} data ended after {max(number, 0)}: "
                "an epoch cannot be finished on other data"
            )
        if self._gave and not number:
            raise UsageError(
                f"the {self.reading.split} data gave no batches the second time: "
                f"a {type(self.source).__name__} can be read only once",
                hint="Pass a list, a DataLoader, or an object whose __iter__ begins anew.",
            )
        self._gave = self._gave or number > 0

    def state_dict(self) -> dict[str, object]:
        """The size of the data, the states of its own generators, and how much an iterator gave."""
        state = super().state_dict()
        if self._memory:
            state["memory"] = self._memory.state_dict()
        if self._goes_on:
            state["iterator"] = {"base": self._base, "taken": self._taken}
        return state

    def load_state_dict(self, state: Mapping[str, Any], position: int = 0) -> None:
        """Take back what `state_dict` gave."""
        super().load_state_dict(state, position)
        self._loaded = state.get("iterator")
        if "memory" in state:
            self._memory.load_state_dict(state["memory"])

    def close(self) -> None:
        """End persistent workers."""
        if self._opener.copy is not None:
            vars(self._opener.copy)["_iterator"] = None


def _goes_on(source: object) -> bool:
    """Whether ``iter`` gives the same iterator again, wherever it stands."""
    return isinstance(source, GeneratorType) or (
        isinstance(source, Iterator) and type(source).__module__ in ("builtins", "itertools")
    )
