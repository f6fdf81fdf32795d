"""What the values of a tensor were in training: what drift is measured against later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from lifecycle.core.canonical import JSON
from lifecycle.core.errors import UsageError

_DIGITS = 6  # the last bits depend on the order of summation, and must not change a file's digest


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Of all elements of one input, over the training samples that were looked at.

    Attributes:
        samples: How many samples.
        mean: Arithmetic mean.
        std: Standard deviation of the population.
        min: Least value.
        max: Greatest value.
        quantiles: The 5th, 25th, 50th, 75th and 95th percentile.
    """

    samples: int
    mean: float
    std: float
    min: float
    max: float
    quantiles: tuple[float, ...]

    def to_json(self) -> dict[str, JSON]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: JSON) -> Statistics:
        """The inverse of `to_json`; raises `UsageError` when it is something else."""
        try:
            assert isinstance(content, Mapping)
            numbers = {name: float(content[name]) for name in ("mean", "std", "min", "max")}  # type: ignore[arg-type]
            quantiles = content["quantiles"]
            assert isinstance(quantiles, list)
            return cls(
                samples=int(content["samples"]),  # type: ignore[arg-type]
                quantiles=tuple(float(value) for value in quantiles),  # type: ignore[arg-type]
                **numbers,
            )
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            raise UsageError(f"not statistics of an input: {error!r}") from error


def describe(array: npt.NDArray[np.generic]) -> Statistics:
    """Statistics of an array whose first axis counts samples, to six significant digits.

    >>> describe(np.array([[0.0], [1.0]])).mean
    0.5
    """
    values = array.astype(np.float64).ravel()
    marks = np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95))
    return Statistics(
        samples=len(array),
        mean=_short(values.mean()),
        std=_short(values.std()),
        min=_short(values.min()),
        max=_short(values.max()),
        quantiles=tuple(_short(mark) for mark in marks),
    )


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
