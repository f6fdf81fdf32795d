"""Latency of several things, measured in turn so that a busy machine is equally busy for all of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import median, quantiles
from time import perf_counter

from lifecycle.core.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Milliseconds of one call.

    Attributes:
        median_ms: Median.
        low_ms: Lower end of the median's 95 % confidence interval.
        high_ms: Its upper end.
        p95_ms: 95th percentile.
        p99_ms: 99th percentile.
        times_ms: Every call, in the order of the rounds.
    """

    median_ms: float
    low_ms: float
    high_ms: float
    p95_ms: float
    p99_ms: float
    times_ms: tuple[float, ...] = ()


def measure_latency(
    runs: Mapping[str, Callable[[], object]],
    *,
    calls: int = 200,
    warm_up: int = 20,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Latency]:
    """Time several callables, one call of each in turn, in another order each round.

    Args:
        runs: What to call, by name.
        calls: How often each is timed.
        warm_up: How often each is called before.
        told: How many rounds of how many are done, before each; nothing is timed meanwhile.

    Raises:
        UsageError: `calls` is below 2.

    >>> sorted(measure_latency({"a": list, "b": dict}, calls=2))
    ['a', 'b']
    """
    if calls < 2:
        raise UsageError(f"calls must be 2 or more, got {calls}")
    for _ in range(warm_up):
        for run in runs.values():
            run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    order = list(runs)
    shuffle = random.Random(0).shuffle  # whoever comes first in a round meets colder caches
    for done in range(calls):
        told(done, calls)
        shuffle(order)
        for name in order:
            run = runs[name]
            start = perf_counter()
            run()
            times[name].append((perf_counter() - start) * 1000)
    return {name: _latency(measured) for name, measured in times.items()}


def ratio(one: Latency, other: Latency) -> tuple[float, float, float]:
    """How many times as long one takes as the other: median over rounds, and its 95 % confidence interval."""
    pairs = [a / b for a, b in zip(one.times_ms, other.times_ms, strict=True)]
    return median(pairs), *median_interval(pairs)


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % confidence interval of a median, from order statistics: it assumes no distribution.

    By the normal approximation of the binomial (Conover, *Practical Nonparametric Statistics*, 3.2).

    >>> median_interval(range(1, 101))
    (40, 61)
    """
    ordered = sorted(values)
    count = len(ordered)
    reach = 1.96 * sqrt(count) / 2
    low = max(0, int(count / 2 - reach) - 1)
    high = min(count - 1, int(count / 2 + reach + 1))
    return ordered[low], ordered[high]


def _latency(times_ms: Sequence[float]) -> Latency:
    low, high = median_interval(times_ms)
    marks = quantiles(times_ms, n=100, method="inclusive")
    return Latency(
        median_ms=median(times_ms),
        low_ms=low,
        high_ms=high,
        p95_ms=marks[94],
        p99_ms=marks[98],
        times_ms=tuple(times_ms),
    )
