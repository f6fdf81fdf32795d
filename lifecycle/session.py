"""One run of a pipeline: workspace locked, tracking open, stages run, statuses set."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lifecycle.core.progress import Progress, terminal_progress
from lifecycle.core.stage import Context, Project
from lifecycle.pipeline.runner import Outcome, check_order, run_stages
from lifecycle.pipeline.spec import Pipeline
from lifecycle.tracking import PipelineRun, connect, open_experiment
from lifecycle.workspace import Workspace

if TYPE_CHECKING:
    from lifecycle.train.data import DataModule
    from lifecycle.train.loggers.mlflow_run import MLFlowRun


def run_pipeline(
    pipeline: Pipeline,
    workspace: Workspace,
    progress: Progress | None = None,
    *,
    finish: Callable[[list[Outcome], MLFlowRun], object] | None = None,
) -> list[Outcome]:
    """Run every stage that has to be run, tracked in MLflow.

    Args:
        pipeline: What to run.
        workspace: Where its results are kept; held for as long as the run lasts.
        progress: Where to say how far it is; by default the terminal.
        finish: Called with what became of the stages and the run, before that ends.

    Raises:
        LifecycleError: what went wrong in which stage; what was finished before it is kept.
    """
    check_order(pipeline.stages)
    progress = progress or terminal_progress()
    make_data = data_maker(pipeline.project)
    with workspace.locked():
        experiment = open_experiment(connect(workspace), pipeline.project.name, workspace)
        for _ in range(experiment.reap()):
            progress.note("a run that was killed is marked so in MLflow")
        context = Context(
            project=pipeline.project,
            data=make_data,
            budget=pipeline.budget,
            seed=pipeline.seed,
            progress=progress,
        )
        with experiment.run(pipeline.project.name, {}) as parent:
            outcomes = run_stages(
                pipeline.stages,
                context,
                cache=workspace.cache,
                log=PipelineRun(experiment, parent),
                data_fingerprint=lambda: _fingerprint(make_data),
            )
            if finish is not None:
                finish(outcomes, parent)
            return outcomes


def data_maker(project: Project) -> Callable[[], DataModule]:
    """What makes the project's DataModule, anew at each call."""
    from lifecycle.core.errors import UsageError
    from lifecycle.train.data import DataModule

    def make() -> DataModule:
        cls = project.data.load(project.root)
        if not issubclass(cls, DataModule):
            wanted = f"class {cls.__name__}(lifecycle.DataModule)"
            raise UsageError(f"{project.data.text} is no lifecycle.DataModule: write `{wanted}`")
        try:
            return cls(**project.data_args)
        except Exception as error:
            raise UsageError(
                f"{project.data.text} cannot be made with data_args {dict(project.data_args)}: {error}"
            ) from error

    return make


def _fingerprint(make_data: Callable[[], DataModule]) -> str:
    from lifecycle.train.data import fingerprint

    return fingerprint(make_data())
