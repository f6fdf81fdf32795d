"""Train: the user's module and data in, the dense checkpoint out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar

from lifecycle.core.artifact import Artifact
from lifecycle.core.canonical import JSON
from lifecycle.core.stage import Context, Stage, scratch
from lifecycle.stages.facts import facts_of
from lifecycle.stages.fitting import fit, measure
from lifecycle.stages.held_out import check_held_out
from lifecycle.stages.trainer_options import check_trainer, counted_trainer


@dataclass(frozen=True, kw_only=True)
class Train(Stage):
    """Fit the module; killed, it goes on after the last step that it saved.

    Attributes:
        trainer: Arguments of `lifecycle.Trainer`.
    """

    consumes: ClassVar[tuple[str, ...]] = ()
    produces: ClassVar[str] = "checkpoint"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "torchmetrics", "numpy")
    splits: ClassVar[tuple[str, ...]] = ("train", "val")

    trainer: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_trainer(self.trainer)

    def counted(self) -> Mapping[str, JSON]:
        """All but how the trainer shows its work."""
        return {**super().counted(), "trainer": counted_trainer(self.trainer)}

    def run(self, given: Mapping[str, Artifact], into: Path, context: Context) -> Artifact:
        """Train, keep the best epoch, measure it on the validation split."""
        from lifecycle.compress.cost import count_cost
        from lifecycle.stages.rehearsal import rehearse
        from lifecycle.train.artifact import make_module, write_checkpoint
        from lifecycle.train.describe import example_inputs, signature_of
        from lifecycle.train.seeding import seed_everything

        project = context.project
        folder = scratch(into)
        options = check_trainer(self.trainer)
        if not any(folder.iterdir()):  # else it goes on, and was rehearsed then
            rehearse(context, options)
        seed_everything(context.seed)
        module = make_module(project.model, project.model_args, project.root)
        signature_of(module)  # a module that does not say what it takes is told so before it is trained
        fit(
            module,
            context,
            options,
            title="train",
            folder=folder,
            resume=True,
        )
        metrics = measure(module, context)
        check_held_out(context, metrics)
        metrics |= asdict(count_cost(module, example_inputs(module)))
        headline = [context.budget.metric or ""]
        return write_checkpoint(
            module,
            into,
            project=project,
            seed=context.seed,
            facts=facts_of(self, context, metrics, headline),
        )
