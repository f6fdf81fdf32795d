"""Quantize: a checkpoint in, one that computes as its INT8 file will out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from lifecycle.core.artifact import Artifact
from lifecycle.core.canonical import JSON
from lifecycle.core.errors import UsageError
from lifecycle.core.stage import Context, Stage, scratch
from lifecycle.stages.facts import facts_of
from lifecycle.stages.fitting import check_fine_tuning, fit, measure, require_budget, set_learning_rate

if TYPE_CHECKING:
    from lifecycle.train.module import Module


@dataclass(frozen=True, kw_only=True)
class Quantize(Stage):
    """Find the ranges of weights and activations; with ``qat`` train through the rounding as well.

    Attributes:
        method: ``static`` calibrates, ``qat`` calibrates and then trains.
        epochs: Of quantization-aware training.
        lr: Its learning rate, some tenth of that of training; by default that of training.
        calibration: How an activation's range follows from what calibration sees.
        calibration_batches: Batches of the training split to find ranges with; never more than one is held.
        percentile: How much of the values ``calibration: percentile`` leaves inside, in percent.
        keep_float: Names or patterns of modules whose layers stay in float.
        activations: ``auto`` for what this processor is fastest with.
        trainer: Arguments of `lifecycle.Trainer`; what is not set is as in training.
    """

    consumes: ClassVar[tuple[str, ...]] = ("checkpoint",)
    produces: ClassVar[str] = "checkpoint"

    method: Literal["static", "qat"] = "static"
    epochs: int = 2
    calibration: Literal["squared_error", "min_max", "moving_average", "percentile", "entropy"] = (
        "squared_error"
    )
    calibration_batches: int = 10
    percentile: float = 99.99
    keep_float: tuple[str, ...] = ()
    activations: Literal["auto", "uint8", "int8"] = "auto"
    lr: float | None = None
    trainer: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.calibration_batches < 1:
            raise UsageError(f"calibration_batches is {self.calibration_batches}; expected at least 1")
        if not 50 < self.percentile <= 100:
            raise UsageError(f"percentile is {self.percentile}; expected above 50, at most 100")
        check_fine_tuning(self.trainer, self.epochs, self.lr)

    def run(self, given: Mapping[str, Artifact], into: Path, context: Context) -> Artifact:
        """Prepare, calibrate, train if asked to, and keep the best epoch."""
        from lifecycle.compress.callbacks import QuantizationAwareTraining
        from lifecycle.compress.cost import count_cost
        from lifecycle.train.artifact import open_checkpoint, read_recipe, write_checkpoint
        from lifecycle.train.describe import example_inputs

        parent = given["checkpoint"]
        module = open_checkpoint(parent, training=True)
        set_learning_rate(module, self.lr)
        cost = count_cost(module, example_inputs(module))
        edit = self._prepare(module, context)
        if self.method == "qat":
            options = check_fine_tuning(self.trainer, self.epochs, self.lr)
            folder, training = scratch(into), QuantizationAwareTraining()
            fit(module, context, options, title="quantize", folder=folder, callbacks=[training])
        metrics = measure(module, context) | asdict(cost)
        require_budget(context, metrics, "quantize")
        return write_checkpoint(
            module,
            into,
            project=context.project,
            edits=[*read_recipe(parent).edits, edit],
            parent=parent,
            facts=facts_of(self, context, metrics, [context.budget.metric or ""]),
        )

    def _prepare(self, module: Module, context: Context) -> dict[str, JSON]:
        """Let the module round, with ranges from the training split; gives the recipe's record."""
        from lifecycle.compress.calibration import calibrating
        from lifecycle.compress.processor import integers_for
        from lifecycle.compress.quantizer import prepare_quantization_
        from lifecycle.stages.inputs import pass_inputs
        from lifecycle.train.describe import example_inputs

        edit = prepare_quantization_(
            module,
            example_inputs(module),
            method="qat" if self.method == "qat" else "static",
            integers=integers_for(self.activations),
            keep_float=self.keep_float,
        )
        with calibrating(module, calibration=self.calibration, percentile=self.percentile) as observe:
            pass_inputs(module, context, "train", observe, batches=self.calibration_batches)
        return edit.to_json()
