"""Ending in order: say so first, go on for a moment, then finish what was taken in."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

log = logging.getLogger("lifecycle.serve")


class Leaving:
    """Whether this worker was told to end.

    Args:
        drain_s: How long it takes requests in nevertheless: a load balancer asks for readiness only so often.

    Attributes:
        begun: From then on it is not ready, and every answer asks its client to connect elsewhere.
    """

    def __init__(self, drain_s: float = 0.0) -> None:
        self.begun = False
        self._drain_s = drain_s

    @contextmanager
    def on_sigterm(self) -> Iterator[None]:
        """Stand before the server's own handler of SIGTERM, which stops listening at once."""
        loop = asyncio.get_running_loop()
        stop = signal.getsignal(signal.SIGTERM)

        def end() -> None:
            if callable(stop):
                stop(signal.SIGTERM, None)

        def begin(number: int, frame: FrameType | None) -> None:
            again, self.begun = self.begun, True
            loop.call_soon_threadsafe(loop.call_later, 0.0 if again else self._drain_s, end)

        signal.signal(signal.SIGTERM, begin)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, stop)
