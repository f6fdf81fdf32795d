"""Latency of several things, measured in turn so that a busy machine is equally busy for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median, quantiles
from time import perf_counter

from lifecycle.core.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Milliseconds of one call."""

    median_ms: float
    p95_ms: float


def measure_latency(
    runs: Mapping[str, Callable[[], object]], *, calls: int = 200, warm_up: int = 20
) -> dict[str, Latency]:
    """Time several callables, one call of each in turn.

    Args:
        runs: What to call, by name.
        calls: How often each is timed.
        warm_up: How often each is called before.

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
    for _ in range(calls):
        for name, run in runs.items():
            start = perf_counter()
            run()
            times[name].append((perf_counter() - start) * 1000)
    return {name: _latency(measured) for name, measured in times.items()}


def _latency(times_ms: list[float]) -> Latency:
    return Latency(median_ms=median(times_ms), p95_ms=quantiles(times_ms, n=20, method="inclusive")[-1])
