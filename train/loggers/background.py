"""Loggers that take their time are called in a thread beside training."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from lifecycle.train.loggers.outbox import LIMIT, Call, Outbox

EVERY_S = 1.0


class Background:
    """An outbox that is emptied in a thread.

    What comes in is gathered for a second, since a store takes a hundred records in little more time than
    one, and is then given in a thread that ends with that: between two deliveries, when loader workers are
    mostly forked, there is no thread. It is no daemon: the interpreter waits for it. Training waits for it
    only while more calls have gathered than are kept, and the logger has not failed.

    Args:
        outbox: Whose logger may be called in any thread.
        limit: How many calls are gathered.
        clock: Seconds, that only ever grow.
    """

    def __init__(
        self, outbox: Outbox, *, limit: int = LIMIT, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.complaints = outbox.complaints
        self._outbox = outbox
        self._limit = limit
        self._clock = clock
        self._gathered: deque[Call] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._due = clock() + EVERY_S
        self._lost = 0
        self._stopped_by: BaseException | None = None

    def put(self, *calls: Call) -> None:
        """Give calls to the logger within a second or so."""
        self._raise_if_stopped()
        with self._changed:
            full = len(self._gathered) >= self._limit
            if full or self._clock() >= self._due:
                self._start()
            if full:
                self._changed.wait_for(self._may_go_on)
            self._gathered.extend(calls)
            while len(self._gathered) > self._limit:  # it fails, and takes its time about it
                self._gathered.popleft()
                self._lost += 1

    def at_once(self, method: str, *arguments: object) -> None:
        """Make a call that cannot wait, in this thread."""
        self._outbox.at_once(method, *arguments)

    def flush(self) -> None:
        """Give everything, and wait until it is given."""
        self._give_rest()
        self._outbox.flush()

    def close(self, status: str) -> None:
        """Give everything, wait until it is given, and end the run."""
        self._give_rest()
        self._outbox.close(status)

    def _start(self) -> None:
        if self._thread is not None:
            return
        self._thread = threading.Thread(target=self._run, name="gives to a logger")
        try:
            self._thread.start()
        except RuntimeError:  # there are too many threads, or the interpreter is about to end
            self._thread = None
            self._outbox.put(*self._gathered)
            self._gathered.clear()

    def _run(self) -> None:
        try:
            while calls := self._take():
                self._outbox.put(*calls)
        except BaseException as error:  # an exit, say; it is raised in the thread that trains
            self._stopped_by = error
            self._end()

    def _take(self) -> list[Call]:
        with self._changed:
            calls = list(self._gathered)
            self._gathered.clear()
            if not calls:
                self._end()
            self._changed.notify_all()
        return calls

    def _end(self) -> None:
        with self._changed:
            self._thread = None
            self._due = self._clock() + EVERY_S
            self._changed.notify_all()

    def _may_go_on(self) -> bool:
        return len(self._gathered) < self._limit or self._thread is None or self._outbox.failing

    def _give_rest(self) -> None:
        if (thread := self._thread) is not None:
            thread.join()
        self._raise_if_stopped()
        self._outbox.lost += self._lost
        self._lost = 0
        self._outbox.put(*self._gathered)
        self._gathered.clear()

    def _raise_if_stopped(self) -> None:
        if self._stopped_by is not None:
            error, self._stopped_by = self._stopped_by, None
            raise error
