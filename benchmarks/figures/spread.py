"""Medians, and how sure they are."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from statistics import median
from typing import TypeVar

Sample = TypeVar("Sample")
RESAMPLES = 2000


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The median, and the bounds that 95 % of medians of resamples lie in (Efron's bootstrap).

    >>> interval([1.0, 1.0, 1.0])
    (1.0, 1.0, 1.0)
    """
    return spread(values, median)


def ends(found: tuple[float, float, float]) -> dict[str, float]:
    """A median and its bounds as the fields of a figure.

    >>> ends((1.2, 1.1, 1.3))
    {'value': 1.2, 'low': 1.1, 'high': 1.3}
    """
    return dict(zip(("value", "low", "high"), found, strict=True))


def spread(samples: Sequence[Sample], summary: Callable[[list[Sample]], float]) -> tuple[float, float, float]:
    """A summary of samples, and the bounds that it lies in for 95 % of resamples."""
    chance = random.Random(0)
    found = sorted(summary(chance.choices(samples, k=len(samples))) for _ in range(RESAMPLES))
    edge = RESAMPLES // 40
    return summary(list(samples)), found[edge], found[-edge - 1]
