"""Quantize: a checkpoint in, one that computes as its INT8 file will out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from lifecycle.core.artifact import Artifact
from lifecycle.core.errors import UsageError
from lifecycle.core.stage import Context, Stage, scratch
from lifecycle.stages.facts import facts_of
from lifecycle.stages.fitting import check_fine_tuning, fit, measure, require_budget, set_learning_rate


@dataclass(frozen=True, kw_only=True)
class Quantize(Stage):
    """Find the ranges of weights and activations; with ``qat`` train through the rounding as well.

    Attributes:
        method: ``static`` calibrates, ``qat`` calibrates and then trains.
        epochs: Of quantization-aware training.
        lr: Its learning rate, some tenth of that of training; by default that of training.
        calibration_batches: Batches of the training split to find ranges with.
        trainer: Arguments of `lifecycle.Trainer`; what is not set is as in training.
    """

    consumes: ClassVar[tuple[str, ...]] = ("checkpoint",)
    produces: ClassVar[str] = "checkpoint"

    method: Literal["static", "qat"] = "static"
    epochs: int = 2
    calibration_batches: int = 10
    lr: float | None = None
    trainer: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.calibration_batches < 1:
            raise UsageError(f"calibration_batches is {self.calibration_batches}; expected at least 1")
        check_fine_tuning(self.trainer, self.epochs, self.lr)

    def run(self, given: Mapping[str, Artifact], into: Path, context: Context) -> Artifact:
        """Prepare, calibrate, train if asked to, and keep the best epoch."""
        from lifecycle.compress.calibration import calibrate_
        from lifecycle.compress.callbacks import QuantizationAwareTraining
        from lifecycle.compress.cost import count_cost
        from lifecycle.compress.quantizer import prepare_quantization_
        from lifecycle.stages.inputs import record_inputs
        from lifecycle.train.artifact import open_checkpoint, read_recipe, write_checkpoint
        from lifecycle.train.describe import example_inputs

        parent = given["checkpoint"]
        module = open_checkpoint(parent, training=True)
        set_learning_rate(module, self.lr)
        cost = count_cost(module, example_inputs(module))
        samples = record_inputs(module, context, "train", batches=self.calibration_batches)
        if self.method == "qat":
            options = check_fine_tuning(self.trainer, self.epochs, self.lr)
            training = QuantizationAwareTraining(calibration_batches=samples)
            fit(module, context, options, title="quantize", folder=scratch(into), callbacks=[training])
            edit = training.edit
        else:
            edit = prepare_quantization_(module, example_inputs(module), method=self.method)
            calibrate_(module, samples)
        assert edit is not None
        metrics = measure(module, context) | asdict(cost)
        require_budget(context, metrics, "quantize")
        return write_checkpoint(
            module,
            into,
            project=context.project,
            edits=[*read_recipe(parent).edits, edit.to_json()],
            parent=parent,
            facts=facts_of(self, context, metrics, [context.budget.metric or ""]),
        )
