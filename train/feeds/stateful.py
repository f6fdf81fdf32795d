"""Feed of a loader that keeps its own position: torchdata's StatefulDataLoader is the known one."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from lifecycle.train.feeds.base import DATA, Feed, Reading, Size, length_of
from lifecycle.train.feeds.memory import Stateful
from lifecycle.train.feeds.opener import Opener
from lifecycle.train.limits import limited
from lifecycle.train.seeding import mix, seed_all

log = logging.getLogger(__name__)

_END: Any = object()


class StatefulFeed(Feed):
    """Batches of a loader that goes on from its own state.

    Args:
        source: The user's loader.
        holder: Who keeps the state: the loader, or its data set.
        opener: Begins passes.
        reading: How it is read.
    """

    def __init__(self, source: Iterable[Any], holder: Stateful, opener: Opener, reading: Reading) -> None:
        length = length_of(source)
        size = Size(batches=length, samples=length_of(getattr(source, "dataset", None)))
        super().__init__(source, size, limited(length, reading.limit, reading.split), reading)
        self._holder = holder
        self._opener = opener
        self._key: list[int] = []  # of the pass: its seed and epoch
        self._at = 0
        self._ended = False
        self._before: Any = None  # the state when one batch less was given
        self._loaded: Mapping[str, Any] | None = None

    def batches(self, seed: int, epoch: int, start: int = 0) -> Iterator[Any]:
        """The batches `start`, `start` + 1, … of an epoch."""
        seed = self._seed(seed)
        key = [seed, epoch]
        known = self._loaded
        if known is None and start and key == self._key:
            known = self._position()
        self._loaded = None
        iterator = self._begin(known, key, start)
        self._key, self._at, self._ended, self._before = key, start, False, None
        return self._read(iterator, mix(seed, epoch, DATA, *self.reading.shard.stream))

    def _begin(self, known: Mapping[str, Any] | None, key: list[int], start: int) -> Iterator[Any]:
        seed, epoch = key
        if known is None or not known["key"]:
            return self._opener.begin(seed, epoch)
        if start and known["key"] == key:
            self._holder.load_state_dict(self._state_at(known, start))
            return self._opener.begin(seed, epoch)
        self._holder.load_state_dict(known["now"])
        iterator = self._opener.begin(seed, epoch)
        # Whether the state of an ended pass means its end or the next beginning, loaders differ. That of a
        # pass that was cut short means its rest, which begins to be read before it is given up.
        first = next(iterator, _END)
        if first is not _END and known["ended"]:
            return chain([first], iterator)
        del iterator
        return self._opener.begin(seed, epoch)

    def _state_at(self, known: Mapping[str, Any], start: int) -> Any:
        at = known["at"]
        if at == start + 1 and known["before"] is not None:
            return known["before"]
        if at != start:
            log.warning(
                "the state of the %s loader is that after %d batches, not %d", self.reading.split, at, start
            )
        return known["now"]

    def _read(self, iterator: Iterator[Any], base: int) -> Iterator[Any]:
        while self.num_batches is None or self._at < self.num_batches:
            if self._at:
                seed_all(mix(base, self._at))
            if self.num_batches is None:
                # Who does not know which batch is the last reads one ahead.
                self._before = copy.deepcopy(self._holder.state_dict()) if self._at else None
            batch = next(iterator, _END)
            if batch is _END:
                self._ended = True
                return
            self._at += 1
            yield batch
        if self.num_batches == self.size["batches"]:
            self._ended = next(iterator, _END) is _END

    def _position(self) -> dict[str, object]:
        now = self._holder.state_dict() if self._key else None
        return {"key": self._key, "at": self._at, "ended": self._ended, "before": self._before, "now": now}

    def state_dict(self) -> dict[str, object]:
        """The size of the data, and the loader's own state."""
        return super().state_dict() | {"position": self._position()}

    def load_state_dict(self, state: Mapping[str, Any], position: int = 0) -> None:
        """Take back what `state_dict` gave."""
        super().load_state_dict(state, position)
        self._loaded = state.get("position")

    def close(self) -> None:
        """End persistent workers of the copy that is read."""
        if self._opener.copy is not None:
            vars(self._opener.copy)["_iterator"] = None
