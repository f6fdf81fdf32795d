"""Quantize: a checkpoint in, one that computes as its INT8 file will out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from lifecycle.core.artifact import Artifact
from lifecycle.core.canonical import JSON
from lifecycle.core.errors import UsageError
from lifecycle.core.stage import Context, Stage, scratch
from lifecycle.core.within import Count, Positive, Share, WholeFromZero, Within, check_limits
from lifecycle.stages.facts import facts_of
from lifecycle.stages.fitting import fit, require_budget, set_learning_rate
from lifecycle.stages.trainer_options import check_fine_tuning, counted_trainer

if TYPE_CHECKING:
    from lifecycle.train.module import Module

    Quantized = tuple[Module, dict[str, JSON], dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class Quantize(Stage):
    """Find the ranges of weights and activations; with ``qat`` train through the rounding as well.

    Killed while it trains, it goes on after the last step that it saved.

    Attributes:
        method: ``static`` calibrates, ``qat`` calibrates and then trains, ``dynamic`` leaves the module alone
            and lets the file find ranges at every call. A module that cannot be traced for training is
            quantized statically in its file.
        epochs: Of quantization-aware training.
        freeze_after: The fraction of them after which ranges and batch normalisation stay as they are.
        lr: Its learning rate, some tenth of that of training; by default that of training.
        calibration: How an activation's range follows from what calibration sees.
        calibration_batches: Batches of the training split to find ranges with; never more than one is held.
        percentile: How much of the values ``calibration: percentile`` leaves inside, in percent.
        keep_float: Names or patterns of modules whose layers stay in float.
        float_layers: How many more may, those whose rounding alone costs most, so that the budget's metric
            holds.
        activations: ``auto`` for what this processor is fastest with.
        trainer: Arguments of `lifecycle.Trainer`; what is not set is as in training.
    """

    consumes: ClassVar[tuple[str, ...]] = ("checkpoint",)
    produces: ClassVar[str] = "checkpoint"

    method: Literal["static", "qat", "dynamic"] = "static"
    epochs: Count = 2
    freeze_after: Share = 0.7
    calibration: Literal["squared_error", "min_max", "moving_average", "percentile", "entropy"] = (
        "squared_error"
    )
    calibration_batches: Count = 10
    percentile: Annotated[float, Within(above=50, most=100)] = 99.99
    keep_float: tuple[str, ...] = ()
    float_layers: WholeFromZero = 4
    activations: Literal["auto", "uint8", "int8"] = "auto"
    lr: Positive | None = None
    trainer: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_limits(self)
        check_fine_tuning(self.trainer, self.epochs)

    def counted(self) -> Mapping[str, JSON]:
        """All but how the trainer shows its work."""
        return {**super().counted(), "trainer": counted_trainer(self.trainer)}

    def run(self, given: Mapping[str, Artifact], into: Path, context: Context) -> Artifact:
        """Prepare, calibrate, train if asked to, keep the best epoch; or plan what is done to the file."""
        from lifecycle.compress.cost import count_cost
        from lifecycle.compress.file_edit import check_unquantized
        from lifecycle.train.artifact import read_recipe, write_checkpoint
        from lifecycle.train.describe import example_inputs

        parent = given["checkpoint"]
        before = read_recipe(parent).edits
        check_unquantized(before)
        module = self._open(parent)
        cost = count_cost(module, example_inputs(module))
        module, edit, metrics = self._quantize(module, parent, context, scratch(into))
        metrics |= asdict(cost)
        require_budget(context, metrics, "quantize")
        return write_checkpoint(
            module,
            into,
            project=context.project,
            seed=context.seed,
            edits=[*before, edit],
            parent=parent,
            facts=facts_of(self, context, metrics, [context.budget.metric or ""]),
        )

    def _open(self, parent: Artifact) -> Module:
        from lifecycle.train.artifact import open_checkpoint

        module = open_checkpoint(parent, training=True)
        set_learning_rate(module, self.lr)
        return module

    def _quantize(self, module: Module, parent: Artifact, context: Context, folder: Path) -> Quantized:
        """The module to keep, the recipe's record, and what validation gives."""
        from lifecycle.compress.capture import UncapturedError
        from lifecycle.stages.quantize_module import quantize_within

        if self.method == "dynamic":
            return self._on_file(module, parent, context, "dynamic")

        def attempt(in_float: tuple[str, ...]) -> tuple[Module, dict[str, JSON]]:
            return self._in_module(self._open(parent), context, folder, in_float)

        try:
            return quantize_within(context, attempt, float_layers=self.float_layers)
        except UncapturedError as error:
            if self.method == "qat":
                raise UsageError(
                    f"{error.message}, so there is nothing to train through",
                    hint="method: static quantizes the exported file instead",
                ) from error
            context.progress.note(f"  {error.message}: quantizing the exported file instead")
            return self._on_file(module, parent, context, "static", reason=error.message)

    def _in_module(
        self, module: Module, context: Context, folder: Path, in_float: tuple[str, ...]
    ) -> tuple[Module, dict[str, JSON]]:
        """Let the module round, with ranges from the training split, and train it if asked to."""
        from lifecycle.compress.calibration import calibrating
        from lifecycle.compress.processor import integers_for
        from lifecycle.compress.qat import QuantizationAwareTraining
        from lifecycle.compress.quantizer import prepare_quantization_
        from lifecycle.stages.passing import pass_inputs
        from lifecycle.train.describe import example_inputs

        edit = prepare_quantization_(
            module,
            example_inputs(module),
            method="qat" if self.method == "qat" else "static",
            integers=integers_for(self.activations),
            keep_float=(*self.keep_float, *in_float),
        )
        with calibrating(module, calibration=self.calibration, percentile=self.percentile) as observe:
            pass_inputs(module, context, "train", observe, batches=self.calibration_batches)
        if self.method == "qat":
            training = QuantizationAwareTraining(freeze_after=self.freeze_after)
            fit(
                module,
                context,
                check_fine_tuning(self.trainer, self.epochs),
                title="quantize",
                folder=folder / f"{len(in_float)} in float",
                callbacks=[training],
                resume=True,
            )
        return module, edit.to_json()

    def _on_file(
        self,
        module: Module,
        parent: Artifact,
        context: Context,
        method: Literal["dynamic", "static"],
        reason: str = "",
    ) -> Quantized:
        from lifecycle.compress.processor import integers_for
        from lifecycle.compress.ranges import range_finder
        from lifecycle.stages.quantize_file import plan_file_edit

        edit, metrics = plan_file_edit(
            module,
            parent,
            context,
            method=method,
            integers=integers_for(self.activations),
            keep_float=self.keep_float,
            range_of=range_finder(self.calibration, percentile=self.percentile),
            batches=self.calibration_batches,
            reason=reason,
        )
        return module, edit.to_json(), metrics
