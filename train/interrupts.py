"""SIGTERM and Ctrl-C during a fit: the batch at work is finished, a checkpoint saved, then the fit ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Remembers a signal until the loop is at a point where it can save.

    Attributes:
        received: The first signal that arrived, or None.
        save: Called before the fit ends.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.save: Callable[[], None] = _nothing
        self._before: dict[int, Any] = {}

    def forget(self) -> None:
        """Whatever was received was for another verb."""
        self.received = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take signals for a while; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self.received = None
        self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        try:
            yield
            if self.received is not None:  # too late for a step: it is heeded all the same
                self.act()
        finally:
            for number, handler in self._before.items():
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    @contextmanager
    def unsaved(self) -> Iterator[None]:
        """Save nothing for a while, whatever is received."""
        before, self.save = self.save, _nothing
        try:
            yield
        finally:
            self.save = before

    def act(self) -> None:
        """Save, then do what the signal would have done: KeyboardInterrupt, or exit with 143 for SIGTERM.

        A handler that the program has set decides in place of that.
        """
        number = self.received
        assert number is not None
        self.save()
        handler = self._before.get(number)
        if callable(handler):
            handler(number, None)
        _end(number)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:  # asked twice: at once
            handler = self._before.get(number)
            if callable(handler):
                handler(number, frame)
            _end(number)
        self.received = number


def _nothing() -> None:
    """There is nothing to save."""


def _end(number: int) -> NoReturn:
    """What a signal does whose handler let the program go on."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)
