"""What one logger has yet to be given."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple

from lifecycle.train.loggers.record import Record

LIMIT = 10_000  # calls that are kept for a logger
TOGETHER = 500  # records that are given at once to a logger that takes several
SAVE_EVERY_S = 1.0
PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0

log = logging.getLogger(__name__)


class Call(NamedTuple):
    """A call of one of a logger's methods, that can wait; ``log_metrics`` is given a `Record`."""

    method: str
    argument: Any


class Outbox:
    """Gives calls to one logger in their order, and keeps them while it fails.

    A logger that fails is left alone for a pause, which doubles with every further failure, and is then tried
    again with what has gathered; the clock is looked at when something comes in. A call that it goes on to
    refuse while it takes one that follows is given up; so are the oldest, once too many wait.

    Args:
        logger: Anything with ``log_metrics(metrics, step=...)``. It may have ``log_records``, which is given
            several records at once, and `Logger`'s other methods.
        limit: How many calls are kept.
        clock: Seconds, that only ever grow.

    Attributes:
        failing: Whether the logger failed when it was last called.
        lost: Calls that were given up.
        complaints: What people are to be told.
    """

    def __init__(
        self, logger: Any, *, limit: int = LIMIT, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.failing = False
        self.lost = 0
        self.complaints: list[str] = []
        self._logger = logger
        self._name = type(logger).__name__
        self._limit = limit
        self._clock = clock
        self._waiting: deque[Call] = deque()
        self._due = 0.0
        self._save_due = clock() + SAVE_EVERY_S
        self._failures = 0  # since it last took something
        self._error: Exception | None = None
        self._complained = False

    def put(self, *calls: Call) -> None:
        """Give calls to the logger, or keep them while it is left alone; not those it has no method for."""
        self._waiting.extend(call for call in calls if self._has(call.method))
        while len(self._waiting) > self._limit:
            self._waiting.popleft()
            self.lost += 1
        if self._clock() >= self._due:
            self._give_all()

    def at_once(self, method: str, *arguments: object) -> None:
        """Make a call that cannot wait; if the logger fails it is not made again."""
        if not self._has(method):
            return
        try:
            getattr(self._logger, method)(*arguments)
        except Exception as error:
            self.complaints.append(
                f"{self._name}.{method} failed: {_told(error)}. Training goes on without it."
            )

    def flush(self) -> None:
        """Give everything and have it saved, now and not after a pause."""
        self._save_due = 0.0
        self._give_all()

    def close(self, status: str) -> None:
        """Give everything and end the run; what the logger does not take now is lost."""
        failed_before = self.failing
        self.flush()
        if self.failing and not failed_before:
            self.flush()  # a second try tells what it refuses from what it cannot do for the moment
        self.lost += len(self._waiting)
        self._waiting.clear()
        self.at_once("finalize", status)
        if self.lost:
            lost = "1 call" if self.lost == 1 else f"{self.lost} calls"
            self.complaints.append(f"{self._name} did not take {lost} made to it: {_told(self._error)}")
        self.lost = 0

    def _has(self, method: str) -> bool:
        return callable(getattr(self._logger, method, None))

    def _give_all(self) -> None:
        """Give what waits, as far as the logger takes it."""
        while self._waiting:
            calls = self._next()
            if self._took(calls):
                self._failures = 0
                self._forget(len(calls))
            elif self._failures and (refused := self._refused()):
                self.lost += refused
                self._forget(refused + 1)
            else:
                self._leave_alone()
                return
        if not self._saved():
            self._leave_alone()
        elif self.failing:
            log.info("%s works again", self._name)
            self.failing = False

    def _next(self) -> list[Call]:
        """What to give next: numbers together while all is well, one call at a time otherwise."""
        together: list[Call] = []
        if not self._failures and self._has("log_records"):
            for call in islice(self._waiting, TOGETHER):
                if call.method != "log_metrics":
                    break
                together.append(call)
        return together or [self._waiting[0]]

    def _took(self, calls: Sequence[Call]) -> bool:
        try:
            _give(self._logger, calls)
        except Exception as error:
            self._error = error
            return False
        return True

    def _refused(self) -> int:
        """How many calls it refuses that stand before one it takes; none if it seems to take nothing at all.

        After every failure one call more is tried.
        """
        for index, call in enumerate(islice(self._waiting, 1, 1 + self._failures), start=1):
            if self._took([call]):
                return index
        return 0

    def _forget(self, count: int) -> None:
        for _ in range(count):
            self._waiting.popleft()

    def _saved(self) -> bool:
        if self._clock() < self._save_due or not self._has("save"):
            return True
        try:
            self._logger.save()
        except Exception as error:
            self._error = error
            return False
        self._save_due = self._clock() + SAVE_EVERY_S
        return True

    def _leave_alone(self) -> None:
        self._due = self._clock() + min(PAUSE_S * 2**self._failures, LONGEST_PAUSE_S)
        self._failures += 1
        self.failing = True
        if not self._complained:
            self._complained = True
            self.complaints.append(
                f"{self._name} failed: {_told(self._error)}. Training goes on; what it was to log is kept, "
                "and tried again."
            )


def _give(logger: Any, calls: Sequence[Call]) -> None:
    if len(calls) > 1:
        logger.log_records([call.argument for call in calls])
        return
    (call,) = calls
    if call.method != "log_metrics":
        getattr(logger, call.method)(call.argument)
    elif callable(getattr(logger, "log_records", None)):
        logger.log_records([call.argument])  # which know when they were logged
    else:
        record: Record = call.argument
        logger.log_metrics(dict(record.metrics), step=record.step)


def _told(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {error}" if error is not None else "too many had to wait"
