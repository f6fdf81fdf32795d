"""Feed of several loaders as one: of each at once, or one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from lifecycle.core.errors import UsageError
from lifecycle.train.combined import Cycles, Mode, together
from lifecycle.train.feeds.base import Feed, Reading, Size
from lifecycle.train.seeding import mix

_END: Any = object()


class JoinedFeed(Feed):
    """Batches of several feeds.

    Each loader has random numbers of its own, and other ones each time it is begun anew; where it stands at
    a batch follows from the lengths, where they are known.

    Args:
        source: The user's collection.
        feeds: One for each loader.
        mode: How they are read, as by `lifecycle.train.combined.CombinedLoader`.
        arrange: Puts one batch of each into the user's collections.
        num_batches: How many batches at most; None when that is not known.
        length: How many batches there are without limits; likewise.
        reading: How they are read.
    """

    def __init__(
        self,
        source: object,
        feeds: Sequence[Feed],
        mode: Mode,
        arrange: Callable[[list[Any]], Any],
        num_batches: int | None,
        length: int | None,
        reading: Reading,
    ) -> None:
        super().__init__(source, Size(batches=length, samples=None), num_batches, reading)
        self.feeds = feeds
        self.mode = mode
        self._arrange = arrange
        self._key: list[int] = []  # of the pass: its seed and epoch
        self._at = 0
        self._cycles = Cycles([], [])
        self._before = Cycles([], [])  # as they were when one batch less was given
        self._loaded: Mapping[str, Any] | None = None

    def batches(self, seed: int, epoch: int, start: int = 0) -> Iterator[Any]:
        """The batches `start`, `start` + 1, … of an epoch."""
        self._cycles = self._standing([seed, epoch], start)
        self._key, self._at, self._loaded = [seed, epoch], start, None
        read = self._in_turn if self.mode == "sequential" else self._together
        return self._counted(read(seed, epoch, start))

    def _standing(self, key: list[int], start: int) -> Cycles:
        """Where each loader stands at a batch."""
        known = self._loaded if self._loaded is not None else self._position()
        if start and known["key"] == key and known["at"] in (start, start + 1):
            cycle, since = known["now" if known["at"] == start else "before"]
            found = Cycles(list(cycle), list(since))
        elif self.mode == "sequential":
            return self._turn(start)
        else:
            found = Cycles([0] * len(self.feeds), [0] * len(self.feeds))
        if self.mode == "max_size_cycle":
            for which, feed in enumerate(self.feeds):
                if feed.num_batches:
                    found.cycle[which] = start // feed.num_batches
                    found.since[which] = start - start % feed.num_batches
        return found

    def _turn(self, start: int) -> Cycles:
        """Whose turn it is at a batch, when loaders come one after the other."""
        since = 0
        for which, feed in enumerate(self.feeds):
            if feed.num_batches is None or start < since + feed.num_batches:
                return Cycles([which], [since])
            since += feed.num_batches
        return Cycles([len(self.feeds)], [since])

    def _together(self, seed: int, epoch: int, start: int) -> Iterator[Any]:
        begin = [self._beginner(which, seed, epoch, start) for which in range(len(self.feeds))]
        found = together(self.mode, begin, self._cycles, start)
        if self.num_batches is not None:
            found = islice(found, max(self.num_batches - start, 0))
        return map(self._arrange, found)

    def _beginner(self, which: int, seed: int, epoch: int, start: int) -> Callable[[int], Iterator[Any]]:
        feed = self.feeds[which]
        first = start - self._cycles.since[which]

        def begin(cycle: int) -> Iterator[Any]:
            nonlocal first
            position, first = first, 0
            known = feed.num_batches is not None and position >= feed.num_batches
            if known or (cycle and self.mode == "max_size"):
                return iter(())  # it ended before
            return feed.batches(mix(seed, cycle) if cycle else seed, epoch, position)

        return begin

    def _in_turn(self, seed: int, epoch: int, start: int) -> Iterator[Any]:
        cycles = self._cycles
        while cycles.cycle[0] < len(self.feeds):
            feed = self.feeds[cycles.cycle[0]]
            yield from feed.batches(seed, epoch, self._at - cycles.since[0])
            cycles.cycle[0] += 1
            cycles.since[0] = self._at

    def _counted(self, batches: Iterator[Any]) -> Iterator[Any]:
        while True:
            self._before = Cycles(list(self._cycles.cycle), list(self._cycles.since))
            batch = next(batches, _END)
            if batch is _END:
                return
            self._at += 1
            yield batch

    def _position(self) -> dict[str, Any]:
        return {
            "key": self._key,
            "at": self._at,
            "now": [list(self._cycles.cycle), list(self._cycles.since)],
            "before": [list(self._before.cycle), list(self._before.since)],
        }

    def state_dict(self) -> dict[str, object]:
        """Where the loaders stand, and what each of them keeps."""
        feeds = [feed.state_dict() for feed in self.feeds]
        return super().state_dict() | {"position": self._position(), "feeds": feeds}

    def load_state_dict(self, state: Mapping[str, Any], position: int = 0) -> None:
        """Take back what `state_dict` gave."""
        known = state.get("feeds", [])
        if len(known) != len(self.feeds):
            raise UsageError(
                f"the checkpoint was made with {max(len(known), 1)} {self.reading.split} loaders, "
                f"and there are {len(self.feeds)} now"
            )
        for feed, kept in zip(self.feeds, known, strict=True):
            feed.load_state_dict(kept, position)
        super().load_state_dict(state, position)
        self._loaded = state["position"]

    def close(self) -> None:
        """End the workers that wait for another pass."""
        for feed in self.feeds:
            feed.close()
