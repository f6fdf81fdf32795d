"""How long a batch will take, learned from those before it."""

from __future__ import annotations

import math

_KEEP = 0.9
_SURPRISE = 4.0
_FORGET = 1.02
_TELLING = 1e-3
_DOUBT = 0.0005


class Cost:
    """A straight line through recent runs: so much for a run, and so much more for each sample.

    Least squares with exponential forgetting: what was seen 20 runs ago counts a tenth. Until runs of
    several sizes were seen a batch is believed to cost what a single one does, so that the first burst is
    let in and measured. Where all recent runs were of one size, the shares of the two are those that were
    seen last, and slowly doubted, so that batches are tried anew from time to time.

    Attributes:
        gain: The share of the time that large batches save over single samples.

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
        self.gain = 1.0

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
        spread = self._square * self._weight - self._size * self._size
        if spread > _TELLING * self._square * self._weight:
            slope = (self._product * self._weight - self._size * self._time) / spread
            # Noise can tilt the line below the origin; neither part of a cost is negative.
            sample_s = min(max(0.0, slope), self._time / self._size)
            fixed_s = (self._time - sample_s * self._size) / self._weight
            self.gain = fixed_s / (fixed_s + sample_s)
        else:
            self.gain = min(1.0, self.gain + _DOUBT)
        self._fixed_s = self._time * self.gain / (self.gain * self._weight + (1 - self.gain) * self._size)
        self._sample_s = max(0.0, self._time - self._fixed_s * self._weight) / self._size

    def expected(self, samples: int, runs: int = 1) -> float:
        """Seconds for so many samples in so many runs; infinite before anything was seen."""
        return self._fixed_s * runs + self._sample_s * samples

    def undisturbed(self, samples: int) -> float:
        """Seconds where nothing else wants the processor, as the quickest of the recent runs shows."""
        return self.expected(samples) * self._least
