"""Compression as part of a fit: the functions do the work, these decide when."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from torch import Tensor

from lifecycle.compress.calibration import calibrate_, freeze_batch_norm_, freeze_observers_
from lifecycle.compress.quantizer import Method, QuantizeEdit, prepare_quantization_
from lifecycle.core.errors import UsageError
from lifecycle.train.callbacks.base import Callback
from lifecycle.train.describe import example_inputs

if TYPE_CHECKING:
    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer


class QuantizationAwareTraining(Callback):
    """Prepare and calibrate before a fit, which then trains through the rounding.

    For the last part of the epochs, ranges and batch normalisation stay as they are, so that the weights
    settle on the network that will be exported.

    Args:
        calibration_batches: Inputs of forward, as tuples.
        method: ``qat``, or ``static`` for ranges that training does not move.
        freeze_after: The fraction of the epochs after which that part begins.

    Attributes:
        edit: How the module was prepared; None before the fit.
    """

    def __init__(
        self,
        *,
        calibration_batches: Iterable[tuple[Tensor, ...]],
        method: Method = "qat",
        freeze_after: float = 0.7,
    ) -> None:
        if not 0 <= freeze_after <= 1:
            raise UsageError(f"freeze_after: expected a fraction from 0 to 1, got {freeze_after!r}")
        self.calibration_batches = calibration_batches
        self.method: Method = method
        self.freeze_after = freeze_after
        self.edit: QuantizeEdit | None = None

    def setup(self, trainer: Trainer, pl_module: Module, stage: str) -> None:
        """Prepare and calibrate, before the first fit only."""
        if stage == "fit" and self.edit is None:
            self.edit = prepare_quantization_(pl_module, example_inputs(pl_module), method=self.method)
            calibrate_(pl_module, self.calibration_batches)

    def on_train_start(self, trainer: Trainer, pl_module: Module) -> None:
        """A fit that is resumed within an epoch does not start that epoch again."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Freeze ranges and normalisation when their time has come."""
        if trainer.max_epochs >= 0 and trainer.current_epoch >= int(self.freeze_after * trainer.max_epochs):
            freeze_observers_(pl_module)
            freeze_batch_norm_(pl_module)
