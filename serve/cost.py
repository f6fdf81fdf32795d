"""How long a batch will take, learned from those before it."""

from __future__ import annotations

import math

_KEEP = 0.9
_SURPRISE = 4.0
_FORGET = 1.02


class Cost:
    """A straight line through recent runs: so much for a run, and so much more for each sample.

    Least squares with exponential forgetting: what was seen 20 runs ago counts a tenth. Until runs of
    several sizes were seen a batch is believed to cost what a single one does, so that the first burst is
    let in and measured.

    >>> cost = Cost()
    >>> for _ in range(50):
    ...     cost.observe(1, 0.002)
    ...     cost.observe(5, 0.006)
    >>> round(cost.expected(9), 6)
    0.01
    """

    def __init__(self) -> None:
        self._weight = self._size = self._square = self._time = self._product = 0.0
        self._fixed_s = math.inf
        self._sample_s = 0.0
        self._least = 1.0

    def observe(self, size: int, time_s: float) -> None:
        """A batch of so many samples took so many seconds; what is far out of line was held up by others."""
        if self._weight:
            expected = self.expected(size)
            self._least = min(time_s / expected, self._least * _FORGET, 1.0)
            time_s = min(time_s, _SURPRISE * expected)
        self._weight = self._weight * _KEEP + 1
        self._size = self._size * _KEEP + size
        self._square = self._square * _KEEP + size * size
        self._time = self._time * _KEEP + time_s
        self._product = self._product * _KEEP + size * time_s
        mean = self._time / self._weight
        spread = self._square * self._weight - self._size * self._size
        slope = 0.0
        if spread > 1e-3 * self._square * self._weight:
            slope = (self._product * self._weight - self._size * self._time) / spread
        # Noise can tilt the line below the origin; neither part of a cost is negative.
        self._sample_s = min(max(0.0, slope), mean * self._weight / self._size)
        self._fixed_s = mean - self._sample_s * self._size / self._weight

    def expected(self, samples: int, runs: int = 1) -> float:
        """Seconds for so many samples in so many runs; infinite before anything was seen."""
        return self._fixed_s * runs + self._sample_s * samples

    @property
    def gain(self) -> float:
        """The share of the time that large batches save over single samples."""
        whole = self._fixed_s + self._sample_s
        return self._fixed_s / whole if whole < math.inf else 1.0

    def undisturbed(self, samples: int) -> float:
        """Seconds where nothing else wants the processor, as the quickest of the recent runs shows."""
        return self.expected(samples) * self._least
