"""What evaluation said of each test sample: right or wrong, with an interval, and what was taken for what."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lifecycle.core.canonical import JSON

_Z = 1.959964  # 95 % of a normal distribution lie within so many standard deviations


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """Classes of the test samples, in their order.

    Attributes:
        targets: What each is said to be.
        predictions: What the file says.
    """

    targets: tuple[int, ...]
    predictions: tuple[int, ...]

    @property
    def right(self) -> int:
        """How many samples were answered as they should."""
        return sum(one == other for one, other in zip(self.targets, self.predictions, strict=True))

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return self.right / len(self.targets)

    @property
    def interval(self) -> tuple[float, float]:
        """Of the accuracy, 95 %."""
        return wilson(self.right, len(self.targets))

    def is_accuracy(self, value: float) -> bool:
        """Whether a metric is the accuracy: then the interval is its own. Means over batches may differ."""
        return abs(value - self.accuracy) < 1e-4

    def matrix(self, classes: int) -> list[list[int]]:
        """How often each class (rows) was taken for each (columns)."""
        counts = [[0] * classes for _ in range(classes)]
        for target, prediction in zip(self.targets, self.predictions, strict=True):
            counts[target][prediction] += 1
        return counts


def read_outcomes(predictions: Mapping[str, JSON], name: str) -> Outcomes | None:
    """The outcomes of one model in ``predictions.json``; None where the targets are not known.

    Args:
        predictions: Its content.
        name: ``compressed`` or ``dense``.
    """
    targets, found = _whole(predictions.get("targets")), _whole(predictions.get(name))
    if not targets or len(targets) != len(found):
        return None
    return Outcomes(targets=targets, predictions=found)


def wilson(right: int, samples: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson, 1927): it holds at 0, at 1 and for few samples too.

    >>> [round(end, 4) for end in wilson(530, 540)]
    [0.9663, 0.9899]
    """
    share, z2 = right / samples, _Z**2
    middle = (share + z2 / (2 * samples)) / (1 + z2 / samples)
    half = _Z / (1 + z2 / samples) * math.sqrt(share * (1 - share) / samples + z2 / (4 * samples**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def _whole(value: JSON) -> tuple[int, ...]:
    return tuple(int(item) for item in value if isinstance(item, int)) if isinstance(value, Sequence) else ()
