"""Prune: a checkpoint in, one with fewer channels out, as small as asked for or as the budget allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, cast

from lifecycle.compress.options import DistillationOptions, ImportanceName
from lifecycle.compress.rollback import refusal, search_in_budget
from lifecycle.compress.target import Target
from lifecycle.core.artifact import Artifact
from lifecycle.core.canonical import JSON
from lifecycle.core.config import convert
from lifecycle.core.errors import UsageError, suggest
from lifecycle.core.stage import Context, Stage, scratch
from lifecycle.core.within import Count, Part, Positive, WholeFromZero, check_limits
from lifecycle.stages.facts import facts_of
from lifecycle.stages.fitting import set_learning_rate
from lifecycle.stages.held_out import check_held_out
from lifecycle.stages.trainer_options import check_fine_tuning, counted_trainer

if TYPE_CHECKING:
    from lifecycle.stages.pruning import Pruning


@dataclass(frozen=True, kw_only=True)
class Prune(Stage):
    """Remove channels down to a target, then fine-tune; what breaks the budget is undone and tried smaller.

    Attributes:
        macs: Multiply-accumulates that may remain, as a fraction of the checkpoint's: one of these four.
        params: Parameters that may remain, as a fraction.
        channels: Channels that may remain, as a fraction.
        latency_ms: Latency of the ONNX file that may remain: batch 1, one thread.
        importance: How channels are ranked.
        scope: Rank the channels of all layers together, or take the same part of each.
        round_to: Keep channel counts multiples of this where the target allows.
        ignore: Names or patterns of modules whose layers keep their channels.
        steps: In how many parts to go, each fine-tuned and measured.
        tries: How many attempts may break the budget before the best that held is taken.
        distill: Let the dense model teach: true, or options of `Distillation`.
        sparse_epochs: Train with `BatchNormSparsity` for so long first.
        sparsity: Its strength.
        epochs: Of fine-tuning, in each part.
        lr: The learning rate of fine-tuning; by default that of training.
        trainer: Arguments of `lifecycle.Trainer` for it; what is not set is as in training.
    """

    consumes: ClassVar[tuple[str, ...]] = ("checkpoint",)
    produces: ClassVar[str] = "checkpoint"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "torchmetrics", "torch-pruning", "numpy")

    macs: Part | None = None
    params: Part | None = None
    channels: Part | None = None
    latency_ms: Positive | None = None
    importance: ImportanceName = "magnitude"
    scope: Literal["global", "local"] = "global"
    round_to: Count = 8
    ignore: tuple[str, ...] = ()
    steps: Count = 1
    tries: Count = 4
    distill: bool | Mapping[str, object] = False
    sparse_epochs: WholeFromZero = 0
    sparsity: Positive = 1e-3
    epochs: Count = 5
    lr: Positive | None = None
    trainer: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.target  # noqa: B018  # says what is wrong with it
        check_limits(self)
        self.distillation()
        check_fine_tuning(self.trainer, self.epochs)

    @property
    def target(self) -> Target:
        """How small to get."""
        return Target(macs=self.macs, params=self.params, channels=self.channels, latency_ms=self.latency_ms)

    def distillation(self) -> DistillationOptions | None:
        """How the dense model teaches; None for not at all.

        Raises:
            UsageError: an option that there is not, or a wrong value.
        """
        if isinstance(self.distill, bool):
            return DistillationOptions() if self.distill else None
        types = {each.name: each.type for each in fields(DistillationOptions)}
        for name in self.distill:
            if name not in types:
                raise UsageError(f"unknown key 'distill.{name}': {suggest(name, types)}")
        found = convert(DistillationOptions, cast("JSON", dict(self.distill)), "distill")
        return cast("DistillationOptions", found)

    def counted(self) -> Mapping[str, JSON]:
        """All but how the trainer shows its work."""
        return {**super().counted(), "trainer": counted_trainer(self.trainer)}

    def run(self, given: Mapping[str, Artifact], into: Path, context: Context) -> Artifact:
        """Prune in the trainer's set-up, fine-tune, keep the best epoch of the best attempt."""
        from lifecycle.train.artifact import read_recipe, write_checkpoint

        parent = given["checkpoint"]
        work = self._work(parent, scratch(into), context)
        if self.sparse_epochs:
            work.sparsify(self.sparse_epochs, self.sparsity)
        values = self.target.steps(self.steps, work.start)
        best, made = search_in_budget(work.attempt, values, start=work.greatest, tries=self.tries)
        if best is None:
            raise refusal(
                made,
                "prune: no model within the budget was found; the parent stays as it is",
                hint="Give it more epochs, distill: true, more tries, or change `budget:`.",
            )
        if best.value > self.target.value:
            context.progress.note(
                f"  {self.target.name} {self.target.value:g} breaks the budget: kept {best.achieved:.4g}"
            )
        tried: JSON = [each.to_json() for each in made]
        return write_checkpoint(
            best.result.module,
            into,
            project=context.project,
            seed=context.seed,
            edits=[*read_recipe(parent).edits, *best.result.edits],
            parent=parent,
            facts=facts_of(self, context, best.measured, [context.budget.metric or ""], tried=tried),
        )

    def _work(self, parent: Artifact, folder: Path, context: Context) -> Pruning:
        """What makes attempts, with everything that they share."""
        from lifecycle.stages.pruning import Pruning
        from lifecycle.train.artifact import open_checkpoint

        baseline = context.baseline or parent
        check_held_out(context, baseline.numbers())
        module = open_checkpoint(parent, training=True)
        set_learning_rate(module, self.lr)
        return Pruning(
            parent=module,
            baseline=baseline,
            target=self.target,
            options={
                "importance": self.importance,
                "scope": self.scope,
                "round_to": self.round_to,
                "ignore": self.ignore,
                "seed": context.seed,
            },
            trainer=check_fine_tuning(self.trainer, self.epochs),
            distill=self.distillation(),
            context=context,
            folder=folder,
        )
