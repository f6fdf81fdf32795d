"""In which floating-point types a module computes: everything that ``Trainer(precision=…)`` takes."""

from __future__ import annotations

from lifecycle.train.precision.base import Precision
from lifecycle.train.precision.choice import precision_of
from lifecycle.train.precision.mixed import MixedPrecision
from lifecycle.train.precision.true import DoublePrecision, HalfPrecision

__all__ = ["DoublePrecision", "HalfPrecision", "MixedPrecision", "Precision", "precision_of"]
