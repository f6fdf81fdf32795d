"""Where a fit of several processes ends when a signal reaches one of them: behind the same step in all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

LOOKS_EVERY_S = 0.1  # for a signal of this process
ASKS_EVERY_S = 0.5  # whether another one has received one
ASKED, GONE = "asked", "gone"


class Agreement:
    """Finds the first boundary between steps that no process has passed yet.

    A thread looks for signals, in this process and in the store that all processes share. Training pays a
    lock at each boundary, and nothing is exchanged until there is a signal. Then the threads tell each other
    how many boundaries their processes have passed, while those that come to one wait. All end where the
    furthest one is: so nobody waits for gradients of a process that waits here.

    Args:
        store: That all processes share (torch's `Store`); used by this object alone.
        rank: Of this process.
        size: How many there are.
        received: The signal that this process has received, if any.
        timeout: How long to wait for what the others say.
    """

    def __init__(
        self, store: Any, rank: int, size: int, received: Callable[[], int | None], timeout: timedelta
    ) -> None:
        self._store = store
        self._keys = [f"at/{each}" for each in range(size)]
        self._own = self._keys[rank]
        self._received = received
        self._timeout_s = timeout.total_seconds()
        self._lock = threading.Lock()
        self._passed = 0
        self._asked: int | None = None
        self._ends_at: int | None = None
        self._settled = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="looks for signals", daemon=True)
        self._thread.start()

    @property
    def agreed(self) -> bool:
        """Whether the processes end at the same boundary."""
        return self._ends_at is not None

    def signal_here(self) -> int | None:
        """At a boundary: the signal that ends the fit here; None to go on."""
        with self._lock:
            if self._asked is None and self._received() is None:
                self._passed += 1
                return None
        self._settled.wait()
        if self._ends_at is None:  # the others cannot be asked
            return self._received()
        if self._passed == self._ends_at:
            return self._asked
        self._passed += 1
        return None

    def close(self) -> None:
        """This process passes no boundaries any more."""
        self._closed.set()
        self._thread.join()

    def _watch(self) -> None:
        asked_at_s = time.monotonic()
        try:
            while not self._closed.wait(LOOKS_EVERY_S):
                number = self._received()
                if number is not None:
                    self._store.compare_set(ASKED, "", str(number))
                elif time.monotonic() - asked_at_s < ASKS_EVERY_S:
                    continue
                elif not self._store.check([ASKED]):
                    asked_at_s = time.monotonic()
                    continue
                self._settle(int(self._store.get(ASKED)))
                return
            self._store.compare_set(self._own, "", GONE)
        except RuntimeError:  # whoever kept the store is gone
            with self._lock:
                self._asked = self._asked or self._received()
        finally:
            self._settled.set()

    def _settle(self, number: int) -> None:
        with self._lock:
            self._asked, passed = number, self._passed
        self._store.set(self._own, str(passed))
        ends_s = time.monotonic() + self._timeout_s
        while not self._store.check(self._keys):
            if self._closed.wait(LOOKS_EVERY_S / 5) or time.monotonic() > ends_s:
                return
        found = [self._store.get(key).decode() for key in self._keys]
        if GONE not in found:
            self._ends_at = max(int(each) for each in found)
