"""The distribution of a tensor in bounded memory, and the range that quantizes it best."""

from __future__ import annotations

import math

import torch
from torch import Tensor

BINS = 2048
CANDIDATES = 128


class Histogram:
    """Counts of values in equal bins, however many batches are added.

    A value outside widens the range to double its width, merging bins in pairs: counts stay exact.
    """

    def __init__(self) -> None:
        self.counts: Tensor | None = None
        self.low = 0.0
        self.high = 0.0

    def add(self, values: Tensor) -> None:
        """Count a batch of values, of any shape; raises `ValueError` when one is not finite."""
        values = values.detach().float()
        least, most = (float(end) for end in torch.aminmax(values))
        if not math.isfinite(least) or not math.isfinite(most):
            raise ValueError("a value is NaN or infinite")
        if self.counts is None:
            # Zero is always representable: padding and ReLU need it exactly.
            self.low, self.high = min(least, 0.0), max(most, 0.0)
            self.high = self.high if self.high > self.low else self.low + 1e-6
            self.counts = torch.zeros(BINS, dtype=torch.float64)
        self._widen(least, most)
        self.counts += torch.histc(values, BINS, self.low, self.high).cpu()

    def _widen(self, least: float, most: float) -> None:
        assert self.counts is not None
        while least < self.low or most > self.high:
            merged = self.counts.reshape(-1, 2).sum(1)
            empty = torch.zeros_like(merged)
            width = self.high - self.low
            if least < self.low:
                self.low, self.counts = self.low - width, torch.cat([empty, merged])
            else:
                self.high, self.counts = self.high + width, torch.cat([merged, empty])

    def best_range(self, levels: int = 256) -> tuple[float, float]:
        """The range whose expected squared error is least: clipped tails against finer steps.

        The error of a step s is s²/12 for each value (uniform rounding noise); that of a clipped value is
        its squared distance from the end (as in Banner et al. 2019, https://arxiv.org/abs/1810.05723).

        Args:
            levels: How many values the quantized type has.
        """
        assert self.counts is not None, "add a batch first"
        width = (self.high - self.low) / BINS
        centers = self.low + width * (torch.arange(BINS, dtype=torch.float64) + 0.5)
        seen = self.counts.nonzero().flatten()
        first, last = float(centers[seen[0]]) - width / 2, float(centers[seen[-1]]) + width / 2
        lows = torch.linspace(min(first, 0.0), 0.0, CANDIDATES, dtype=torch.float64)
        highs = torch.linspace(0.0, max(last, 0.0), CANDIDATES, dtype=torch.float64)
        below = (lows[:, None] - centers).clamp(min=0).square() @ self.counts
        above = (centers - highs[:, None]).clamp(min=0).square() @ self.counts
        steps = (highs[None, :] - lows[:, None]) / (levels - 1)
        error = below[:, None] + above[None, :] + self.counts.sum() * steps.square() / 12
        best = int(error.argmin())
        return float(lows[best // CANDIDATES]), float(highs[best % CANDIDATES])
