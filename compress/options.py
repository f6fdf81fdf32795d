"""Options that a pipeline file may set, checked without loading torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lifecycle.core.errors import UsageError

# The names of `lifecycle.compress.importance.IMPORTANCE`.
ImportanceName = Literal[
    "magnitude",
    "magnitude_l1",
    "bn_scale",
    "lamp",
    "fpgm",
    "taylor",
    "hessian",
    "activation",
    "random",
]


@dataclass(frozen=True, kw_only=True)
class DistillationOptions:
    """How a student learns from its teacher.

    Attributes:
        temperature: Softens the scores of both.
        weight: Of the distance of outputs, from 0 to 1; the step's own loss has the rest.
        kind: ``kl`` for scores of classes along axis 1, ``mse`` for other values.
        features: Names of layers to compare as well.
        feature_weight: Of the sum of their distances.
    """

    temperature: float = 4.0
    weight: float = 0.5
    kind: Literal["kl", "mse"] = "kl"
    features: tuple[str, ...] = ()
    feature_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise UsageError(f"temperature: expected a number above 0, got {self.temperature!r}")
        if not 0 <= self.weight <= 1:
            raise UsageError(f"weight: expected a number from 0 to 1, got {self.weight!r}")
        if self.kind not in ("kl", "mse"):
            raise UsageError(f"kind: expected kl or mse, got {self.kind!r}")
        if self.feature_weight < 0:
            raise UsageError(f"feature_weight: expected a number from 0, got {self.feature_weight!r}")
