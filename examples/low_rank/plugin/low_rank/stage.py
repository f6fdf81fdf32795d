"""The stage: a checkpoint in, one with smaller linear layers out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar

from lifecycle.core.artifact import Artifact
from lifecycle.core.canonical import JSON
from lifecycle.core.errors import RefusedError, UsageError
from lifecycle.core.stage import Context, Stage, scratch
from lifecycle.stages.facts import facts_of
from lifecycle.stages.trainer_options import check_fine_tuning, counted_trainer


@dataclass(frozen=True, kw_only=True)
class LowRank(Stage):
    """Write linear layers as products of two smaller ones, then fine-tune.

    Attributes:
        energy: The share of each weight's energy that is kept, above 0 and at most 1.
        epochs: Of fine-tuning.
        trainer: Arguments of `lifecycle.Trainer` for it; what is not set is as in training.
    """

    consumes: ClassVar[tuple[str, ...]] = ("checkpoint",)
    produces: ClassVar[str] = "checkpoint"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "torchmetrics", "numpy")

    energy: float = 0.9
    epochs: int = 2
    trainer: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.energy <= 1:
            raise UsageError(f"energy is {self.energy}; expected a share above 0 and at most 1")
        check_fine_tuning(self.trainer, self.epochs)

    def counted(self) -> Mapping[str, JSON]:
        """All but how the trainer shows its work."""
        return {**super().counted(), "trainer": counted_trainer(self.trainer)}

    def run(self, given: Mapping[str, Artifact], into: Path, context: Context) -> Artifact:
        """Factorize, fine-tune, keep the best epoch, and hold it against the budget."""
        from lifecycle.compress.cost import count_cost
        from lifecycle.stages.fitting import fit, measure, require_budget
        from lifecycle.train.artifact import open_checkpoint, read_recipe, write_checkpoint
        from lifecycle.train.describe import example_inputs
        from low_rank.factorize import factorize_  # torch is imported where it is used: `plan` stays fast

        parent = given["checkpoint"]
        module = open_checkpoint(parent, training=True)
        ranks = factorize_(module, self.energy)
        if not ranks:
            raise RefusedError(
                f"low_rank: at an energy of {self.energy:g} no linear layer gets smaller",
                hint="Keep less energy, or leave the stage out.",
            )
        context.progress.note("  ranks: " + ", ".join(f"{name} {rank}" for name, rank in ranks.items()))
        options = check_fine_tuning(self.trainer, self.epochs)
        fit(module, context, options, title="low_rank", folder=scratch(into), resume=True)
        metrics = measure(module, context) | asdict(count_cost(module, example_inputs(module)))
        require_budget(context, metrics, "low_rank")
        edit: dict[str, JSON] = {"edit": "low_rank", "energy": self.energy, "ranks": dict(ranks)}
        return write_checkpoint(
            module,
            into,
            project=context.project,
            seed=context.seed,
            edits=[*read_recipe(parent).edits, edit],
            parent=parent,
            facts=facts_of(self, context, metrics, [context.budget.metric or ""], ranks=dict(ranks)),
        )
