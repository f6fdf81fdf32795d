"""Quantize: a checkpoint in, one that computes as its INT8 file will out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from lifecycle.core.artifact import Artifact
from lifecycle.core.canonical import JSON
from lifecycle.core.errors import UsageError
from lifecycle.core.stage import Context, Stage, scratch
from lifecycle.stages.facts import facts_of
from lifecycle.stages.fitting import check_trainer, fit, measure, require_budget


@dataclass(frozen=True, kw_only=True)
class Quantize(Stage):
    """Find the ranges of weights and activations; with ``qat`` train through the rounding as well.

    Attributes:
        method: ``static`` calibrates, ``qat`` calibrates and then trains.
        epochs: Of quantization-aware training.
        calibration_batches: Batches of the training split to find ranges with.
        trainer: Arguments of `lifecycle.Trainer`; what is not set is as in training.
    """

    consumes: ClassVar[tuple[str, ...]] = ("checkpoint",)
    produces: ClassVar[str] = "checkpoint"

    method: Literal["static", "qat"] = "static"
    epochs: int = 2
    calibration_batches: int = 10
    trainer: Mapping[str, JSON] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.calibration_batches < 1:
            raise UsageError(f"calibration_batches is {self.calibration_batches}; expected at least 1")
        check_trainer({**self.trainer, "max_epochs": self.epochs})

    def run(self, given: Mapping[str, Artifact], into: Path, context: Context) -> Artifact:
        """Prepare, calibrate, train if asked to, and keep the best epoch."""
        raise NotImplementedError
