"""Sensitivity of a project's trained model, layer by layer, by its own metric on the validation split."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from lifecycle.core.canonical import JSON, readable_json, write_whole
from lifecycle.core.errors import UsageError
from lifecycle.core.progress import Progress, terminal_progress
from lifecycle.core.stage import Context
from lifecycle.pipeline.spec import Pipeline
from lifecycle.session import data_maker, run_pipeline
from lifecycle.workspace import Workspace

if TYPE_CHECKING:
    from torch import nn

    from lifecycle.compress.sensitivity import LayerEffect


def layer_effects(
    pipeline: Pipeline,
    workspace: Workspace,
    *,
    change: Literal["prune", "quantize"],
    keep: float = 0.5,
    title: str = "",
    progress: Progress | None = None,
    wait_s: float = 0.0,
) -> list[LayerEffect]:
    """Change one layer after another of the trained model, and measure each; the most harmful first.

    Args:
        pipeline: Its ``train`` stage is run, or found in the cache.
        workspace: Where its results are kept.
        change: What is done to each layer.
        keep: The fraction of a layer's channels that stays, for ``prune``.
        title: What the report of the next run that makes this model calls it; without, it is not told.
        progress: Where to say how far it is; by default the terminal.
        wait_s: For how long to wait for another run in the workspace to end.

    Raises:
        UsageError: the pipeline trains nothing, or its budget names no metric that is logged.
    """
    from lifecycle.compress.sensitivity import prune_sensitivity, quantize_sensitivity
    from lifecycle.stages.fitting import measure
    from lifecycle.stages.held_out import check_held_out
    from lifecycle.train.artifact import open_checkpoint
    from lifecycle.train.describe import example_inputs
    from lifecycle.train.module import Module

    metric = pipeline.budget.metric
    if metric is None:
        raise UsageError("sensitivity needs budget.metric: the name of a metric that validation_step logs")
    if "train" not in pipeline.stages:
        raise UsageError("sensitivity needs a 'train' stage: it looks at the trained model")
    progress = progress or terminal_progress()
    first = replace(pipeline, stages={"train": pipeline.stages["train"]})
    checkpoint = run_pipeline(first, workspace, progress, wait_s=wait_s)[-1].artifact
    context = Context(
        project=pipeline.project,
        data=data_maker(pipeline.project),
        baseline=checkpoint,
        budget=pipeline.budget,
        seed=pipeline.seed,
        progress=progress,
    )
    check_held_out(context, checkpoint.numbers())
    module = open_checkpoint(checkpoint)

    def score(changed: nn.Module) -> float:
        assert isinstance(changed, Module)
        return measure(changed, context)[metric]

    mode = pipeline.budget.mode
    if change == "prune":
        effects = prune_sensitivity(module, example_inputs(module), score, keep=keep, mode=mode)
    else:
        effects = quantize_sensitivity(module, score, mode=mode)
    if title:
        content: JSON = {"title": title, "effects": [effect.to_json() for effect in effects]}
        workspace.sensitivity.mkdir(exist_ok=True)
        write_whole(workspace.sensitivity / f"{checkpoint.digest}-{change}.json", readable_json(content))
    return effects
