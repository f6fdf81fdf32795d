"""Times of steps, without waiting for a GPU to finish them."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

import torch

T = TypeVar("T")


class Stopwatch(Generic[T]):
    """Seconds since the start at which steps were done, pauses left out.

    A GPU works behind the program that drives it: there, the time of a step is taken by the GPU, and known
    when it has come to it.

    Args:
        device: What the steps are computed on.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._waiting: deque[tuple[T, float | torch.cuda.Event]] = deque()
        self._paused = 0.0  # seconds
        self._pause_began = 0.0
        self._last = 0.0
        self._passed = 0.0  # seconds, pauses included, until the mark that arrived last
        self._before = self._mark()

    def lap(self, what: T) -> None:
        """A step is done, or on its way."""
        self._waiting.append((what, self._mark()))

    def arrived(self) -> Iterator[tuple[float, T]]:
        """Steps that are done, with their times; each is given once."""
        while self._waiting:
            what, mark = self._waiting[0]
            if isinstance(mark, torch.cuda.Event) and not mark.query():  # type: ignore[no-untyped-call]
                return
            self._waiting.popleft()
            # From mark to mark: a GPU tells times in single precision, after an hour in steps of 0.25 ms.
            self._passed += self._between(self._before, mark)
            self._before = mark
            # Two clocks tell the time, of which one stands still in a pause: it never goes back.
            seconds = self._passed - self._paused
            self._last = max(seconds, math.nextafter(self._last, math.inf))
            yield self._last, what

    def pause(self) -> None:
        """Wait until all steps are done, and stop counting."""
        self._finish()
        self._pause_began = time.perf_counter()

    def resume(self) -> None:
        """Go on counting."""
        self._finish()
        self._paused += time.perf_counter() - self._pause_began

    def _mark(self) -> float | torch.cuda.Event:
        if self._device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))
        return event

    @staticmethod
    def _between(first: float | torch.cuda.Event, second: float | torch.cuda.Event) -> float:
        if isinstance(first, torch.cuda.Event):
            return float(first.elapsed_time(second)) / 1000  # type: ignore[arg-type]
        assert isinstance(second, float)
        return second - first

    def _finish(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
