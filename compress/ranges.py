"""The range that a tensor is quantized in, from the distribution that calibration saw of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor

from lifecycle.compress.histogram import BINS, Histogram
from lifecycle.core.errors import UsageError, suggest

Calibration = Literal["squared_error", "min_max", "moving_average", "percentile", "entropy"]
RangeOf = Callable[[Histogram], tuple[float, float]]

LEVELS = 256
PERCENTILE = 99.99
CANDIDATES = 128


def range_finder(calibration: Calibration = "squared_error", *, percentile: float = PERCENTILE) -> RangeOf:
    """How to find a range.

    Args:
        calibration: A name.
        percentile: For the method of that name: how much of the values is to be inside, in percent.

    Raises:
        UsageError: there is no such method, or no such percentile.
    """
    if calibration not in get_args(Calibration):
        allowed = suggest(calibration, get_args(Calibration))
        raise UsageError(f"no calibration is called '{calibration}': {allowed}")
    if not 50 < percentile <= 100:
        raise UsageError(f"percentile is {percentile}; expected a number above 50, at most 100")
    finders: dict[str, RangeOf] = {
        "squared_error": least_squared_error,
        "min_max": extremes,
        "moving_average": mean_extremes,
        "percentile": partial(central, percentile=percentile),
        "entropy": least_divergence,
    }
    return finders[calibration]


def extremes(seen: Histogram) -> tuple[float, float]:
    """The least and the greatest value of all."""
    return min(seen.least, 0.0), max(seen.most, 0.0)


def mean_extremes(seen: Histogram) -> tuple[float, float]:
    """The least and the greatest value of a batch, averaged over the batches as they come.

    One odd batch in a hundred moves the range by a hundredth. Every batch weighs the same, so that the order
    does not matter.
    """
    return min(seen.mean_least, 0.0), max(seen.mean_most, 0.0)


def central(seen: Histogram, percentile: float = PERCENTILE) -> tuple[float, float]:
    """What is left when as many values are cut off at both ends that `percentile` % remain."""
    cut = (100 - percentile) / 200
    share = seen.counts.cumsum(0) / seen.counts.sum()
    width = (seen.high - seen.low) / BINS
    first = int((share > cut).nonzero()[0])
    last = int((share >= 1 - cut - 1e-12).nonzero()[0])
    low, high = seen.low + width * first, seen.low + width * (last + 1)
    return min(max(low, seen.least), 0.0), max(min(high, seen.most), 0.0)


def least_squared_error(seen: Histogram) -> tuple[float, float]:
    """The range whose expected squared error is least: clipped tails against finer steps.

    The error of a step s is s²/12 for each value (uniform rounding noise); that of a clipped value is its
    squared distance from the end (as in Banner et al. 2019, https://arxiv.org/abs/1810.05723).
    """
    centers, (first, last) = seen.centers(), seen.span()
    lows = torch.linspace(min(first, 0.0), 0.0, CANDIDATES, dtype=torch.float64)
    highs = torch.linspace(0.0, max(last, 0.0), CANDIDATES, dtype=torch.float64)
    below = (lows[:, None] - centers).clamp(min=0).square() @ seen.counts
    above = (centers - highs[:, None]).clamp(min=0).square() @ seen.counts
    steps = (highs[None, :] - lows[:, None]) / (LEVELS - 1)
    error = below[:, None] + above[None, :] + seen.counts.sum() * steps.square() / 12
    best = int(error.argmin())
    return float(lows[best // CANDIDATES]), float(highs[best % CANDIDATES])


def least_divergence(seen: Histogram) -> tuple[float, float]:
    """The range in which the quantized distribution tells most about the true one.

    Both ends are drawn in together; of the ranges, the one of least Kullback-Leibler divergence is taken
    (Migacz 2017, "8-bit inference with TensorRT"; the reference moves what is clipped into the outermost
    bins).
    """
    first, last = seen.span()
    scales = torch.linspace(1.0, 1 / CANDIDATES, CANDIDATES, dtype=torch.float64).tolist()
    found = [(min(first, 0.0) * scale, max(last, 0.0) * scale) for scale in scales]
    return min(found, key=lambda ends: _divergence(seen, *ends))


def _divergence(seen: Histogram, low: float, high: float) -> float:
    centers = seen.centers()
    inside = (centers >= low) & (centers <= high)
    counts = seen.counts[inside]
    if not float(counts.sum()):
        return float("inf")
    reference = counts.clone()
    reference[0] += seen.counts[centers < low].sum()
    reference[-1] += seen.counts[centers > high].sum()
    levels = ((centers[inside] - low) / (high - low) * (LEVELS - 1)).round().long().clamp(0, LEVELS - 1)
    return _kullback_leibler(reference, _spread(counts, levels))


def _spread(counts: Tensor, levels: Tensor) -> Tensor:
    """Each level's counts, shared equally by the bins of it that hold any."""
    occupied = (counts > 0).double()
    sums = torch.zeros(LEVELS, dtype=torch.float64).index_add(0, levels, counts)
    shares = torch.zeros(LEVELS, dtype=torch.float64).index_add(0, levels, occupied)
    return sums[levels] / shares[levels].clamp(min=1) * occupied


def _kullback_leibler(p: Tensor, q: Tensor) -> float:
    p, q = p / p.sum(), q / q.sum()
    # A bin that only clipped values fell into has no counterpart: a little of everything is given to it.
    q = torch.where((p > 0) & (q == 0), 1e-6, q)
    seen = p > 0
    return float((p[seen] * (p[seen] / q[seen]).log()).sum())
