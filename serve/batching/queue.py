"""The requests of one model that wait, oldest first."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import perf_counter

from lifecycle.serve.batching.waiting import Waiting
from lifecycle.serve.errors import NotReadyError, OverloadedError


class Queue:
    """A line from which batches are taken.

    Attributes:
        samples: Of all that wait.

    Args:
        dropped: Is told of each that left uncomputed, and after how many seconds.
    """

    def __init__(self, dropped: Callable[[float], None]) -> None:
        self.samples = 0
        self._line: deque[Waiting] = deque()
        self._dropped = dropped

    def __len__(self) -> int:
        return len(self._line)

    @property
    def oldest(self) -> float:
        """When the first arrived; there must be one."""
        return self._line[0].arrived

    def append(self, waiting: Waiting) -> None:
        """It is the last now."""
        self._line.append(waiting)
        self.samples += waiting.size

    def take(self, most: int) -> list[Waiting]:
        """The oldest request, and in their order those behind it that fit in its batch.

        What was cancelled is passed over, and so is what comes too late: it is told so.

        Args:
            most: Samples of a batch; the oldest alone may have more.
        """
        now = perf_counter()
        batch: list[Waiting] = []
        kept: list[Waiting] = []
        samples = 0
        while self._line and samples < most:
            waiting = self._line.popleft()
            if waiting.future.done() or waiting.deadline < now:
                self._drop(waiting, now)
            elif not batch or (waiting.key == batch[0].key and samples + waiting.size <= most):
                batch.append(waiting)
                samples += waiting.size
                if waiting.key is None:
                    break
            else:
                kept.append(waiting)
        self._line.extendleft(reversed(kept))
        self.samples -= samples
        return batch

    def clear(self) -> None:
        """Tell all that there will be no answer."""
        for waiting in self._line:
            if not waiting.future.done():
                waiting.future.set_exception(NotReadyError("the server is stopping; try again"))
        self._line.clear()
        self.samples = 0

    def _drop(self, waiting: Waiting, now: float) -> None:
        self.samples -= waiting.size
        self._dropped(now - waiting.arrived)
        if not waiting.future.done():
            text = "its turn did not come before its deadline; it was not computed; try again later"
            waiting.future.set_exception(OverloadedError(text, retry_after_s=now - waiting.arrived))
