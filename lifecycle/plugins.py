"""What ``Trainer(plugins=…)`` takes: in which types a module computes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from lifecycle.core.names import also_named

if TYPE_CHECKING:
    from lifecycle.train.precision import DoublePrecision, HalfPrecision, MixedPrecision, Precision

__all__ = [
    "DoublePrecision",
    "HalfPrecision",
    "MixedPrecision",
    "Precision",
]

_HOME = {
    "DoublePrecision": "lifecycle.train.precision",
    "HalfPrecision": "lifecycle.train.precision",
    "MixedPrecision": "lifecycle.train.precision",
    "Precision": "lifecycle.train.precision",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(
            f"module '{__name__}' has no attribute '{name}'; it offers: {', '.join(__all__)}"
        )
    return getattr(import_module(_HOME[name]), name)


also_named(
    __name__,
    (
        "precision",
        "precision.amp",
        "precision.double",
        "precision.half",
        "precision.precision",
    ),
)
