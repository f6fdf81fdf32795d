"""SIGTERM and Ctrl-C during a fit: the batch at work is finished, a checkpoint saved, then the fit ends."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from lifecycle.train.strategies.agreement import Agreement

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ONCE_S = (
    1.0  # Ctrl-C in a terminal reaches a process by itself, and once more through the agent that started it
)
Received = Callable[[], int | None]


class Interrupts:
    """Remembers a signal until the loop is at a point where it can save.

    Attributes:
        received: The first signal that arrived, or None.
        heeding: Whether the loop is to call `at_boundary`.
        save: Called before the fit ends.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.heeding = False
        self.save: Callable[[], None] = _nothing
        self._agreement: Agreement | None = None
        self._received_at_s = 0.0
        self._before: dict[int, Any] = {}

    @property
    def alone(self) -> bool:
        """Whether nobody else is asked where to end."""
        return self._agreement is None

    @property
    def together(self) -> bool:
        """Whether all processes are at the same point when the fit ends for a signal."""
        return self._agreement is None or self._agreement.agreed

    def forget(self) -> None:
        """Whatever was received was for another verb."""
        self.received = None
        self.heeding = False

    @contextmanager
    def listening(self, agreement: Callable[[Received], Agreement | None] | None = None) -> Iterator[None]:
        """Take signals for a while; only the main thread can.

        Args:
            agreement: Makes what several processes agree with on where they end.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self.forget()
        self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        self._agreement = None if agreement is None else agreement(lambda: self.received)
        self.heeding = self.heeding or self._agreement is not None
        try:
            yield
            if self.heeding:  # too late for a step: it is heeded all the same
                self.at_boundary()
        finally:
            if self._agreement is not None:
                self._agreement.close()
                self._agreement = None
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

    def at_boundary(self) -> None:
        """Between two steps: end if somebody asked for it, of several processes where all can."""
        if self._agreement is not None:
            number = self._agreement.signal_here()
            if number is None:
                return
            self.received = number
        self.act()

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
        now_s = time.monotonic()
        if self.received is not None:
            if self._agreement is not None and now_s - self._received_at_s < ONCE_S:
                return
            handler = self._before.get(number)  # asked twice: at once
            if callable(handler):
                handler(number, frame)
            _end(number)
        self.received, self._received_at_s, self.heeding = number, now_s, True


def _nothing() -> None:
    """There is nothing to save."""


def _end(number: int) -> NoReturn:
    """What a signal does whose handler let the program go on."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)
