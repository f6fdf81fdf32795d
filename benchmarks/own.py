"""What of a pipeline's time its stages would take too if they were called by hand, heard within one run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any
from unittest.mock import patch

from lifecycle.core.stage import Context, Stage

# Threads of tracking, by name: what they take of the interpreter, the stages wait for at worst.
THREADS = ("gives to MLflow", "samples the machine")


@dataclass
class Own:
    """Seconds of one run.

    Attributes:
        total: All of it.
        stages: Within stages, what they record included.
        recorded: Within stages, until what they recorded was on disk.
        threads: Of the processor, taken by threads of tracking.
    """

    total: float = 0.0
    stages: float = 0.0
    recorded: float = 0.0
    threads: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def share(self) -> float:
        """The pipeline's own part, over what the stages took without it.

        All that its threads took counts as if the stages had waited for it.
        """
        by_hand = self.stages - self.recorded
        return (self.total - by_hand + self.threads) / by_hand


class Heard:
    """A tracker whose calls are timed."""

    def __init__(self, tracker: Any, own: Own) -> None:
        self._tracker, self._own = tracker, own

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._tracker, name)
        return _timed(found, self._record) if callable(found) else found

    def _record(self, seconds: float) -> None:
        with self._own._lock:
            self._own.recorded += seconds


def _timed(
    work: Callable[..., Any], told: Callable[[float], object], clock: Callable[[], float] = time.perf_counter
) -> Callable[..., Any]:
    @wraps(work)
    def timed(*args: Any, **kwargs: Any) -> Any:
        began = clock()
        try:
            return work(*args, **kwargs)
        finally:
            told(clock() - began)

    return timed


@contextmanager
def heard(stages: Sequence[Stage]) -> Iterator[Own]:
    """Time a run of these stages."""
    own = Own()

    def listening(run: Callable[..., Any]) -> Callable[..., Any]:
        def ran(self: Stage, given: Any, into: Any, context: Context) -> Any:
            began = time.perf_counter()
            try:
                return run(self, given, into, replace(context, tracker=Heard(context.tracker, own)))
            finally:
                own.stages += time.perf_counter() - began

        return ran

    def worked(thread: threading.Thread) -> None:
        def add(seconds: float) -> None:
            if thread.name in THREADS:
                with own._lock:
                    own.threads += seconds

        _timed(threading_run, add, time.thread_time)(thread)

    threading_run = threading.Thread.run
    with ExitStack() as patched:
        for kind in {type(stage) for stage in stages}:
            patched.enter_context(patch.object(kind, "run", listening(kind.run)))
        patched.enter_context(patch.object(threading.Thread, "run", worked))
        began = time.perf_counter()
        yield own
        own.total = time.perf_counter() - began
