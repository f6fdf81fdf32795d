"""Feed of a sequence of batches: any of them can be had at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from lifecycle.train.feeds.base import DATA, Feed, Reading, Size, set_epoch
from lifecycle.train.feeds.memory import Memory, Stateful
from lifecycle.train.generators import generators
from lifecycle.train.limits import limited
from lifecycle.train.seeding import mix, seed_all, seed_batch


class ListedFeed(Feed):
    """Batches of a list or another sequence.

    Args:
        source: The batches.
        reading: How they are read.
    """

    def __init__(self, source: Sequence[Any], reading: Reading) -> None:
        length = len(source)
        size = Size(batches=length, samples=None)
        super().__init__(source, size, limited(length, reading.limit, reading.split), reading)
        self._plain = type(source) in (list, tuple, range)
        holders = {"loader": cast("Stateful", source)} if isinstance(source, Stateful) else {}
        self._memory = Memory({}, {} if self._plain else generators(loader=source), holders)

    def batches(self, seed: int, epoch: int, start: int = 0) -> Iterator[Any]:
        """The batches `start`, `start` + 1, … of an epoch."""
        seed = self._seed(seed)
        iterator = self._memory.begin(seed, epoch, start, lambda: self._begin(seed, epoch, start))
        return (
            self._memory.watch(iterator, put_back=self.reading.leaves_no_trace) if self._memory else iterator
        )

    def _begin(self, seed: int, epoch: int, start: int) -> Iterator[Any]:
        source = cast("Sequence[Any]", self.source)
        indices = range(start, cast("int", self.num_batches))
        seed_batch(seed, epoch, -1)
        set_epoch(epoch, source)
        return (
            map(source.__getitem__, indices)
            if self._plain
            else self._read(indices, mix(seed, epoch, DATA, *self.reading.shard.stream))
        )

    def _read(self, indices: range, base: int) -> Iterator[Any]:
        source = cast("Sequence[Any]", self.source)
        for index in indices:
            seed_all(mix(base, index))
            yield source[index]

    def state_dict(self) -> dict[str, object]:
        """How many batches there are, and the states of what they are made with."""
        state = super().state_dict()
        if self._memory:
            state["memory"] = self._memory.state_dict()
        return state

    def load_state_dict(self, state: Mapping[str, Any], position: int = 0) -> None:
        """Take back what `state_dict` gave."""
        super().load_state_dict(state, position)
        if "memory" in state:
            self._memory.load_state_dict(state["memory"])
