"""How far a file may be from its module: limits that rounding stays within and mistakes do not.

Mistakes, measured on the small network: one INT8 weight tensor 5 % too small, mean 0.003 to 0.009; one output
channel of it zero, 0.003 to 0.125; one of its thousands of weights zero, 0.0007 to 0.046.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Precision = Literal["float32", "float16", "int8"]


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """Limits, as shares of the range of an output.

    Attributes:
        max_error: Of any element.
        mean_error: Over all elements.
        tie: A class whose score is this close to the best may be preferred to it.
        flips: Share of integer and boolean outputs, over all data, that may be others: the best class where
            scores tie, say.
    """

    max_error: float
    mean_error: float
    tie: float
    flips: float


FLOAT = Tolerance(max_error=1e-4, mean_error=1e-5, tie=1e-4, flips=0.0)
"""Another order of summation: measured 1e-6 and 2e-7."""

HALF = Tolerance(max_error=5e-3, mean_error=1e-3, tie=5e-3, flips=0.01)
"""Eleven bits, rounded in another order: measured 0.0012 and 0.0003 on a small network."""

INTEGERS_AS_WRITTEN = Tolerance(max_error=0.05, mean_error=1e-3, tie=0.02, flips=0.01)
"""INT8 computed operator by operator: a value on the edge between two steps may fall to either side. Measured
0.005 and 0.00001 on a small trained network, 0.005 and 0.0005 on 20 untrained layers."""

INTEGER_KERNELS = Tolerance(max_error=0.1, mean_error=5e-3, tie=0.05, flips=0.03)
"""INT8 in the runtime's integer kernels, each of which rounds once more. Measured 0.02 and 0.0004, 0.005 and
0.0013 on the same."""
