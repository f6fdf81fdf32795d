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
        self._start = self._mark()

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
            # Two clocks tell the time, of which one stands still in a pause: it never goes back.
            seconds = self._since_start(mark) - self._paused
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

    def _since_start(self, mark: float | torch.cuda.Event) -> float:
        if isinstance(mark, torch.cuda.Event):
            assert isinstance(self._start, torch.cuda.Event)
            return float(self._start.elapsed_time(mark)) / 1000
        assert isinstance(self._start, float)
        return mark - self._start

    def _finish(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
