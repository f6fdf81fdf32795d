"""Prune: a checkpoint in, one with fewer channels out."""

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
class Prune(Stage):
    """Remove channels down to a target, then fine-tune.

    Attributes:
        macs: Multiply-accumulates that may remain, as a fraction of the checkpoint's.
        importance: How channels are ranked.
        round_to: Keep channel counts multiples of this where the target allows.
        ignore: Names or patterns of modules whose layers keep their channels.
        epochs: Of fine-tuning.
        lr: The learning rate of fine-tuning; by default that of training.
        trainer: Arguments of `lifecycle.Trainer` for it; what is not set is as in training.
    """

    consumes: ClassVar[tuple[str, ...]] = ("checkpoint",)
    produces: ClassVar[str] = "checkpoint"

    macs: float
    importance: Literal["magnitude", "lamp", "fpgm", "random"] = "magnitude"
    round_to: int = 8
    ignore: tuple[str, ...] = ()
    epochs: int = 5
    lr: float | None = None
    trainer: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.macs < 1:
            raise UsageError(f"macs is {self.macs}; expected a fraction between 0 and 1")
        if self.round_to < 1:
            raise UsageError(f"round_to is {self.round_to}; expected at least 1")
        check_fine_tuning(self.trainer, self.epochs, self.lr)

    def run(self, given: Mapping[str, Artifact], into: Path, context: Context) -> Artifact:
        """Prune in the trainer's set-up, fine-tune, keep the best epoch."""
        from lifecycle.compress.cost import count_cost
        from lifecycle.compress.structured_pruning import StructuredPruning
        from lifecycle.train.artifact import open_checkpoint, read_recipe, write_checkpoint
        from lifecycle.train.describe import example_inputs

        parent = given["checkpoint"]
        module = open_checkpoint(parent, training=True)
        set_learning_rate(module, self.lr)
        pruning = StructuredPruning(
            macs=self.macs,
            importance=self.importance,
            round_to=self.round_to,
            ignore=self.ignore,
            seed=context.seed,
        )
        options = check_fine_tuning(self.trainer, self.epochs, self.lr)
        fit(module, context, options, title="prune", folder=scratch(into), callbacks=[pruning])
        assert pruning.edit is not None
        metrics = measure(module, context) | asdict(count_cost(module, example_inputs(module)))
        require_budget(context, metrics, "prune")
        return write_checkpoint(
            module,
            into,
            project=context.project,
            edits=[*read_recipe(parent).edits, pruning.edit.to_json()],
            parent=parent,
            facts=facts_of(self, context, metrics, [context.budget.metric or ""]),
        )
