"""The distribution of a tensor in bounded memory."""

from __future__ import annotations

import math

import torch
from torch import Tensor

BINS = 2048


class Histogram:
    """Counts of values in equal bins, however many batches are added.

    A value outside widens the range to double its width, merging bins in pairs: counts stay exact.

    Attributes:
        counts: Of each bin, float64, ``[BINS]``.
        low: Where the first bin begins.
        high: Where the last one ends.
        least: The least value of all.
        most: The greatest.
        mean_least: The mean over batches of the least value of each.
        mean_most: The mean over batches of the greatest.
    """

    def __init__(self) -> None:
        self.counts = torch.zeros(BINS, dtype=torch.float64)
        self.low = self.high = 0.0
        self.least, self.most = math.inf, -math.inf
        self.mean_least = self.mean_most = 0.0
        self.batches = 0

    def add(self, values: Tensor) -> None:
        """Count a batch of values, of any shape; raises `ValueError` when one is not finite."""
        values = values.detach().float()
        least, most = (float(end) for end in torch.aminmax(values))
        if not math.isfinite(least) or not math.isfinite(most):
            raise ValueError("a value is NaN or infinite")
        if not self.batches:
            # Zero is always representable: padding and ReLU need it exactly.
            self.low, self.high = min(least, 0.0), max(most, 0.0)
            self.high = self.high if self.high > self.low else self.low + 1e-6
        self._widen(least, most)
        self.counts += torch.histc(values, BINS, self.low, self.high).cpu()
        self.batches += 1
        self.least, self.most = min(self.least, least), max(self.most, most)
        self.mean_least += (least - self.mean_least) / self.batches
        self.mean_most += (most - self.mean_most) / self.batches

    def centers(self) -> Tensor:
        """The middle of every bin, float64, ``[BINS]``."""
        width = (self.high - self.low) / BINS
        return self.low + width * (torch.arange(BINS, dtype=torch.float64) + 0.5)

    def span(self) -> tuple[float, float]:
        """Where the first bin that holds something begins, and where the last one ends."""
        width = (self.high - self.low) / BINS
        seen = self.counts.nonzero().flatten()
        return self.low + width * int(seen[0]), self.low + width * (int(seen[-1]) + 1)

    def _widen(self, least: float, most: float) -> None:
        while least < self.low or most > self.high:
            merged = self.counts.reshape(-1, 2).sum(1)
            empty = torch.zeros_like(merged)
            width = self.high - self.low
            if least < self.low:
                self.low, self.counts = self.low - width, torch.cat([empty, merged])
            else:
                self.high, self.counts = self.high + width, torch.cat([merged, empty])
