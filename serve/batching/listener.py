"""Who is told of batches: metrics, say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lifecycle.serve.batching.batch import Computed


class Listener(Protocol):
    """Is told what happens, on the event loop; takes microseconds and raises nothing."""

    def computed(self, batch: Computed, queue_s: Sequence[float]) -> None:
        """A batch was computed whose requests had waited so long."""

    def refused(self) -> None:
        """A request was not taken in."""


class Silence:
    """Nobody listens."""

    def computed(self, batch: Computed, queue_s: Sequence[float]) -> None:
        """Nothing."""

    def refused(self) -> None:
        """Nothing."""
