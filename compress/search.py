"""Which combinations to try, in which order, and which of them nothing beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from lifecycle.core.errors import UsageError

Quantization = Literal["none", "static", "qat"]
# Roughly what each takes: criteria that look at data are slower than those that do not, training most of all.
DATA = ("taylor", "hessian", "activation")
EFFORT = {"none": 0, "static": 1, "qat": 2}


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One combination.

    Attributes:
        macs: Multiply-accumulates that may remain, as a fraction; 1 for no pruning.
        importance: The criterion; empty for no pruning.
        quantization: What follows.
    """

    macs: float
    importance: str
    quantization: Quantization

    @property
    def name(self) -> str:
        """What tables and runs call it.

        >>> Trial(macs=0.25, importance="lamp", quantization="qat").name
        'macs 0.25, lamp, qat'
        """
        pruning = "dense" if self.macs == 1 else f"macs {self.macs:g}, {self.importance}"
        return pruning if self.quantization == "none" else f"{pruning}, {self.quantization}"


def all_trials(
    macs: Sequence[float], importances: Sequence[str], quantizations: Sequence[Quantization]
) -> list[Trial]:
    """Every combination once, the cheapest first.

    Args:
        macs: Fractions; 1 stands for no pruning.
        importances: Criteria.
        quantizations: Ways, ``none`` included where it is wanted.

    Raises:
        UsageError: there is nothing to combine, or a fraction is none.
    """
    for name, values in (("macs", macs), ("importance", importances), ("quantize", quantizations)):
        if not values:
            raise UsageError(f"{name}: expected at least one value to search over")
    for value in macs:
        if not 0 < value <= 1:
            raise UsageError(f"macs: expected fractions above 0 and up to 1 (no pruning), got {value!r}")
    found = {
        Trial(macs=value, importance="" if value == 1 else importance, quantization=quantization)
        for value, importance, quantization in product(macs, importances, quantizations)
    }
    return sorted(
        found,
        key=lambda trial: (
            EFFORT[trial.quantization],
            trial.macs < 1,
            trial.importance in DATA,
            -trial.macs,
            trial.importance,
        ),
    )


def pareto_front(points: Sequence[Sequence[float]]) -> list[int]:
    """Which points nothing beats: no other is at least as good everywhere and better somewhere.

    Args:
        points: One number for each thing that counts; less is better.

    >>> pareto_front([(1, 5), (2, 2), (3, 3), (2, 2)])
    [0, 1, 3]
    """

    def beaten(point: Sequence[float]) -> bool:
        return any(
            all(a <= b for a, b in zip(other, point, strict=True)) and tuple(other) != tuple(point)
            for other in points
        )

    return [index for index, point in enumerate(points) if not beaten(point)]
