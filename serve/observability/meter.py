"""What a model does, counted."""

from __future__ import annotations

from collections.abc import Sequence

from lifecycle.serve.batching.batch import Computed
from lifecycle.serve.observability.metrics import Metrics


class MeteredModel:
    """Hears of the batches of one model, whichever version computes them (a `Listener` of its batcher).

    Args:
        metrics: Where to count.
        name: The model.
    """

    def __init__(self, metrics: Metrics, name: str) -> None:
        self._metrics = metrics
        self._labels = (name,)
        self._samples = metrics.observer("lifecycle_batch_samples", self._labels)
        self._compute = metrics.observer("lifecycle_compute_seconds", self._labels)
        self._wait = metrics.observer("lifecycle_queue_wait_seconds", self._labels)

    def computed(self, batch: Computed, queue_s: Sequence[float]) -> None:
        """A batch was computed whose requests had waited so long."""
        self._samples(float(batch.samples))
        self._compute(batch.infer_s)
        for waited in queue_s:
            self._wait(waited)

    def refused(self) -> None:
        """A request was not taken in."""
        self._metrics.add("lifecycle_requests_shed", self._labels)
