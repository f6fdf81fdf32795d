"""Quantization-aware training as part of a fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from lifecycle.compress.calibration import calibrate_, freeze_batch_norm_, freeze_observers_
from lifecycle.compress.processor import Activations, integers_for
from lifecycle.compress.quantizer import Method, QuantizeEdit, is_quantized, prepare_quantization_
from lifecycle.compress.ranges import PERCENTILE, Calibration, range_finder
from lifecycle.core.errors import UsageError
from lifecycle.train.callbacks.base import Callback
from lifecycle.train.describe import example_inputs

if TYPE_CHECKING:
    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer


class QuantizationAwareTraining(Callback):
    """Prepare and calibrate before a fit, which then trains through the rounding.

    For the last part of the fit, ranges and batch normalisation stay as they are, so that the weights
    settle on the network that will be exported. A module that is prepared already is only trained. A fit
    that is resumed prepares anew and takes ranges from the checkpoint.

    Args:
        calibration_batches: Inputs of forward, as tuples; read once, before the first step.
        method: ``qat``, or ``static`` for ranges that training does not move.
        freeze_after: The fraction of the epochs, or of ``max_steps``, after which that part begins.
        calibration: How ranges are found, a name of `lifecycle.compress.ranges`.
        percentile: For the method of that name.
        keep_float: Names or glob patterns of modules whose layers stay in float.
        activations: ``auto`` for what this processor is fastest with, else ``uint8`` or ``int8``.

    Attributes:
        edit: How the module was prepared; None before the fit, and where it was prepared already.
    """

    def __init__(
        self,
        *,
        calibration_batches: Iterable[tuple[Tensor, ...]] = (),
        method: Method = "qat",
        freeze_after: float = 0.7,
        calibration: Calibration = "squared_error",
        percentile: float = PERCENTILE,
        keep_float: Sequence[str] = (),
        activations: Activations = "auto",
    ) -> None:
        if not 0 <= freeze_after <= 1:
            raise UsageError(f"freeze_after: expected a fraction from 0 to 1, got {freeze_after!r}")
        range_finder(calibration, percentile=percentile)
        self.calibration_batches = calibration_batches
        self.method: Method = method
        self.freeze_after = freeze_after
        self.calibration: Calibration = calibration
        self.percentile = percentile
        self.keep_float = tuple(keep_float)
        self.integers = integers_for(activations)
        self.edit: QuantizeEdit | None = None

    def setup(self, trainer: Trainer, pl_module: Module, stage: str) -> None:
        """Prepare and calibrate, before the first fit only."""
        if stage == "fit" and self._prepare(pl_module):
            calibrate_(
                pl_module, self.calibration_batches, calibration=self.calibration, percentile=self.percentile
            )

    def take_over(self, pl_module: Module, state_dict: Mapping[str, object]) -> None:
        """Prepare here what was trained in other processes; its ranges come with the weights."""
        if state_dict:
            self._prepare(pl_module)

    def state_dict(self) -> dict[str, object]:
        """Whether the module was prepared here."""
        return {} if self.edit is None else {"prepared": True}

    def _prepare(self, module: Module) -> bool:
        """Let a module round, unless it does; whether it did not."""
        if is_quantized(module):
            return False
        self.edit = prepare_quantization_(
            module,
            example_inputs(module),
            method=self.method,
            integers=self.integers,
            keep_float=self.keep_float,
        )
        return True

    def on_train_start(self, trainer: Trainer, pl_module: Module) -> None:
        """A fit that is resumed within an epoch does not start that epoch again."""
        self._freeze_when_due(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Freeze ranges and normalisation when their time has come."""
        self._freeze_when_due(trainer, pl_module)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: Module, batch: object, batch_idx: int
    ) -> None:
        """The same, for a fit that is measured in steps."""
        if trainer.max_steps >= 0 and trainer.global_step == int(self.freeze_after * trainer.max_steps):
            self._freeze_when_due(trainer, pl_module)

    def _freeze_when_due(self, trainer: Trainer, module: Module) -> None:
        epochs, steps = trainer.max_epochs or -1, trainer.max_steps
        by_epochs = epochs >= 0 and trainer.current_epoch >= int(self.freeze_after * epochs)
        by_steps = steps >= 0 and trainer.global_step >= int(self.freeze_after * steps)
        if by_epochs or by_steps:
            freeze_observers_(module)
            freeze_batch_norm_(module)
