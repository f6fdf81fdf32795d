"""The work of the prune stage: attempts from what held last, each fine-tuned, measured and judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lifecycle.compress.batch_norm_sparsity import BatchNormSparsity
from lifecycle.compress.cost import count_cost
from lifecycle.compress.distillation import Distillation
from lifecycle.compress.modes import copied
from lifecycle.compress.options import DistillationOptions
from lifecycle.compress.rollback import Attempt
from lifecycle.compress.structured_pruning import StructuredPruning
from lifecycle.compress.target import Target
from lifecycle.core.artifact import Artifact
from lifecycle.core.budget import AS_FAST, Budget, check_budget
from lifecycle.core.canonical import JSON
from lifecycle.core.signature import Signature
from lifecycle.core.stage import Context
from lifecycle.core.verdict import Row, at_most
from lifecycle.stages.fitting import fit, measure
from lifecycle.stages.latency import OnnxLatency
from lifecycle.train.artifact import open_checkpoint
from lifecycle.train.callbacks import Callback
from lifecycle.train.describe import example_inputs
from lifecycle.train.module import Module


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What an attempt made."""

    module: Module
    edits: list[dict[str, JSON]]


@dataclass(kw_only=True)
class Pruning:
    """Attempts at pruning one checkpoint.

    Attributes:
        parent: The checkpoint's module, ready to be trained.
        baseline: The dense model's artifact, which teaches and which the budget compares with.
        target: The goal.
        options: For `StructuredPruning`.
        trainer: Options of fine-tuning.
        distill: How the dense model teaches; None for not at all.
        context: Data, budget, seed, progress.
        folder: For unfinished work; a killed run goes on in it.
    """

    parent: Module
    baseline: Artifact
    target: Target
    options: Mapping[str, Any]
    trainer: Mapping[str, Any]
    distill: DistillationOptions | None
    context: Context
    folder: Path
    latency: OnnxLatency = field(init=False)
    start: float = field(init=False, default=1.0)

    def __post_init__(self) -> None:
        signature = Signature.from_json(self.baseline.read_json("signature.json"))
        self.latency = OnnxLatency(signature, self.folder / "latency")
        if self.target.name == "latency_ms":
            self.start = self.latency(self.parent)

    @property
    def greatest(self) -> float:
        """The greatest value that is worth an attempt: the budget may allow less than the parent has."""
        budget = self.context.budget
        limits = {"macs": budget.max_macs, "params": budget.max_params}
        return min(self.start, limits.get(self.target.name) or self.start)

    def sparsify(self, epochs: int, strength: float) -> None:
        """Train the parent so that it shows which channels can go."""
        fit(
            self.parent,
            # The last epoch is wanted, not the best: it is the sparsest.
            replace(self.context, budget=Budget()),
            {**self.trainer, "max_epochs": epochs},
            title="sparsify",
            folder=self.folder / "sparsify",
            callbacks=[BatchNormSparsity(strength)],
            resume=True,
        )

    def attempt(self, value: float, held: Attempt[Pruned] | None) -> Attempt[Pruned]:
        """Prune to a value, fine-tune, measure, and hold it against the budget."""
        module = copied(self.parent if held is None else held.result.module)
        relative = value
        if self.target.name != "latency_ms" and held is not None:
            relative = value / held.achieved
        goal: dict[str, Any] = {self.target.name: relative}
        pruning = StructuredPruning(**goal, **self.options, latency=self.latency)
        callbacks: list[Callback] = [pruning]
        if self.distill is not None:
            teacher = open_checkpoint(self.baseline)
            callbacks.insert(0, Distillation(teacher, **asdict(self.distill)))
        fit(
            module,
            self.context,
            self.trainer,
            title=f"prune to {value:.3g}",
            folder=self.folder / f"to-{value:.9g}",
            callbacks=callbacks,
            resume=True,
        )
        achieved = pruning.achieved
        if self.target.name != "latency_ms" and held is not None:
            achieved *= held.achieved
        made = Attempt(
            value=value,
            achieved=achieved,
            measured=(measured := self._measured(module)),
            rows=self._rows(module, measured),
            result=Pruned(module=module, edits=[*(held.result.edits if held else []), *pruning.edits]),
        )
        self._note(made)
        return made

    def _measured(self, module: Module) -> dict[str, float]:
        return measure(module, self.context) | asdict(count_cost(module, example_inputs(module)))

    def _rows(self, module: Module, measured: Mapping[str, float]) -> list[Row]:
        budget = self.context.budget
        rows = check_budget(budget, measured, self.baseline.numbers())
        if budget.has_latency:
            # How fast the file must be is for evaluate to say, when it is quantized too; no slower, for here.
            beside = self.latency.beside(module, self.parent)
            rows.append(at_most("latency beside the parent's", beside, AS_FAST))
        return rows

    def _note(self, made: Attempt[Pruned]) -> None:
        metric = self.context.budget.metric
        shown = "" if metric is None else f", {metric} {made.measured[metric]:.4g}"
        verdict = "" if made.holds else ": outside the budget, undone"
        self.context.progress.note(
            f"  pruned to {self.target.name} {made.achieved:.4g} (asked {made.value:.4g}){shown}{verdict}"
        )
