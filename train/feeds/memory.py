"""What those remember who draw from generators of their own: carried through checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

from lifecycle.train.generators import Generator, restore_states, states

log = logging.getLogger(__name__)

T = TypeVar("T")
_END = object()


@runtime_checkable
class Stateful(Protocol):
    """Keeps its own state."""

    def state_dict(self) -> dict[str, Any]:
        """Give it, as plain values and tensors."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Take it back."""


class Memory:
    """The states of a feed's generators: as its pass began, before the batch given last, and now.

    A checkpoint may be made between two passes, in the middle of one, or when the next batch was already
    read; which state is the right one shows when it is known where the next pass starts.

    Args:
        order: Decide which samples come; drawn from again, they decide alike.
        data: Change what the samples are, while they are read.
        holders: Keep states of their own, and change like `data`.
        draw: Draws the whole order of the pass of a seed and an epoch.
    """

    def __init__(
        self,
        order: Mapping[str, Generator],
        data: Mapping[str, Generator] | None = None,
        holders: Mapping[str, Stateful] | None = None,
        draw: Callable[[int, int], object] = lambda seed, epoch: None,
    ) -> None:
        self._order = order
        self._data = data or {}
        self._holders = holders or {}
        self._draw = draw
        self._key: list[int] = []  # of the pass: its seed and epoch
        self._at = 0
        self._ended = False
        self._start: dict[str, Any] | None = None
        self._before: dict[str, Any] | None = None
        self._loaded: dict[str, Any] | None = None

    def __bool__(self) -> bool:
        return bool(self._order or self._data or self._holders)

    def begin(self, seed: int, epoch: int, start: int, begin: Callable[[], T]) -> T:
        """Begin a pass at `start`, by a function that draws the order of samples up to there."""
        key = [seed, epoch]
        known = self._loaded
        if known is None and key == self._key and start:
            known = self.state_dict()
        self._loaded = None
        again = known is not None and known["key"] == key
        if known is not None:
            self._restore(known["start"] if again else known["now"])
            if not again and known["start"] is not None and not known["ended"]:
                # How far the order of a pass was drawn that had not ended depends on how much was read ahead.
                restore_states(self._order, known["start"]["order"])
                self._draw(*known["key"])
                self._restore({**known["now"], "order": {}})
        self._start, self._key, self._at, self._before = self._states(), key, start, None
        self._ended = False
        begun = begin()
        if known is not None and again and start:
            self._restore_data(known, start)
        return begun

    def watch(
        self, iterator: Iterator[T], finish: Callable[[], object] = lambda: None, *, put_back: bool = False
    ) -> Iterator[T]:
        """The batches of a pass that began.

        Args:
            iterator: Gives them; let go when the pass ends, or is broken off.
            finish: Called then.
            put_back: Whether the pass is to leave no trace.
        """
        try:
            if self._data or self._holders:
                self._before = {"data": states(self._data)}
                while (batch := next(iterator, _END)) is not _END:
                    self._at += 1
                    yield cast("T", batch)
                    self._before = {"data": states(self._data)}
            else:
                yield from iterator
        finally:
            del iterator
            finish()
            self._ended = True
            if put_back and self._start is not None:
                self._restore(self._start)

    def state_dict(self) -> dict[str, Any]:
        """All states."""
        return {
            "key": self._key,
            "at": self._at,
            "ended": self._ended,
            "start": self._start,
            "before": self._before,
            "now": self._states(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take states back when the next pass begins."""
        self._loaded = state

    def _states(self) -> dict[str, Any]:
        return {
            "order": states(self._order),
            "data": states(self._data),
            "holders": {name: holder.state_dict() for name, holder in self._holders.items()},
        }

    def _restore(self, kept: Mapping[str, Any]) -> None:
        restore_states(self._order, kept.get("order", {}))
        restore_states(self._data, kept["data"])
        for name, holder in self._holders.items():
            if name in kept.get("holders", {}):
                holder.load_state_dict(kept["holders"][name])

    def _restore_data(self, known: Mapping[str, Any], start: int) -> None:
        """Within the pass: the order was drawn up to `start` again, the data was not read again."""
        if known["at"] == start:
            self._restore({**known["now"], "order": {}})
        elif known["at"] == start + 1 and known["before"] is not None:
            self._restore(known["before"])
        elif self._data or self._holders:
            log.warning("the state of the data's generators after %d batches was not kept", start)
