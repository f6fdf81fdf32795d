"""Takes what a process records to MLflow, in a thread beside the work, and waits out an outage."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from lifecycle.connection import AwayError
from lifecycle.tracking.delivery import Delivery
from lifecycle.tracking.spool import Spool

EVERY_S, LONGEST_S = 1.0, 5.0
RESTS = 100  # times as long as it delivers, which takes the interpreter from the work; at most LONGEST_S
GOES_ON = "the run goes on, and what it records is kept until it can be delivered"
PAUSE_S, LONGEST_PAUSE_S = 2.0, 60.0


class Courier:
    """Delivers one spool.

    What comes in is gathered for a second, or longer where delivering takes long, and delivered in a thread
    that ends with that: between two deliveries, when loader workers are mostly forked, there is none. While
    the store cannot be used it is left alone for a pause, which doubles with every failure.

    Args:
        spool: What to deliver.
        connect: Connects to the store; raises while it cannot be used.
        tell: Told once when the store cannot be used, and once when it can again.
        clock: Seconds, that only ever grow.
    """

    def __init__(
        self,
        spool: Spool,
        connect: Callable[[], Delivery],
        tell: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.delivery: Delivery | None = None
        self.error: Exception | None = None  # why the store could not be used when that was last tried
        self._spool = spool
        self._connect = connect
        self._tell = tell
        self._clock = clock
        self._due = clock() + EVERY_S
        self._failures = 0
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def open(self) -> None:
        """Connect, in this thread.

        Raises:
            LifecycleError: the store cannot be used. A server that does not answer is tried again later.
        """
        try:
            self.delivery = self._connect()
        except AwayError as error:
            self._fail(error)

    def wake(self) -> None:
        """Something was recorded."""
        if self._clock() >= self._due:
            self._start()

    def flush(self, patience_s: float) -> bool:
        """Deliver everything now; whether that succeeded.

        Args:
            patience_s: For how long to try again while the store cannot be used. A delivery that makes
                progress is waited for.
        """
        deadline = self._clock() + patience_s
        while True:
            thread = self._start()
            while thread.is_alive():
                before = len(self._spool)
                thread.join(max(patience_s, EVERY_S))
                if thread.is_alive() and len(self._spool) == before and self._clock() > deadline:
                    return False
            if self.error is None and not len(self._spool):
                return True
            if self.error is not None and self._clock() + EVERY_S > deadline:
                return False
            time.sleep(EVERY_S if self.error is not None else 0)

    def _start(self) -> threading.Thread:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                # The interpreter does not wait for it: what is not delivered is on disk.
                self._thread = threading.Thread(target=self._run, name="gives to MLflow", daemon=True)
                self._thread.start()
            return self._thread

    def _run(self) -> None:
        began = self._clock()
        try:
            if self.delivery is None:
                self.delivery = self._connect()
            self.delivery.give(self._spool)
        except Exception as error:
            self._fail(error)
        else:
            if self._failures:
                self._tell("MLflow answers again, and has what was recorded meanwhile")
            self.error, self._failures = None, 0
            now = self._clock()
            self._due = now + min(max(EVERY_S, RESTS * (now - began)), LONGEST_S)

    def _fail(self, error: Exception) -> None:
        if not self._failures:
            reason = str(error).strip().partition("\n")[0]
            self._tell(f"{reason}; {GOES_ON}")
        self.error = error
        self._due = self._clock() + min(PAUSE_S * 2**self._failures, LONGEST_PAUSE_S)
        self._failures += 1
