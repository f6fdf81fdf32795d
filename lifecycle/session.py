"""One run of a pipeline: workspace locked, tracking open, stages run, statuses set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from lifecycle.core.canonical import JSON
from lifecycle.core.progress import Progress, terminal_progress
from lifecycle.core.secrets import mask, resolve
from lifecycle.core.stage import Context, Project
from lifecycle.pipeline.fingerprint import find_fingerprint
from lifecycle.pipeline.journal import Journal
from lifecycle.pipeline.runner import Outcome, check_order, run_stages
from lifecycle.pipeline.spec import Pipeline
from lifecycle.stages.facts import git_state
from lifecycle.tracking import PipelineRun, RecordedRun, recording
from lifecycle.tracking.machine import environment
from lifecycle.workspace import Workspace

if TYPE_CHECKING:
    from lifecycle.train.data import DataModule


def run_pipeline(
    pipeline: Pipeline,
    workspace: Workspace,
    progress: Progress | None = None,
    *,
    wait_s: float = 0.0,
    finish: Callable[[list[Outcome], RecordedRun], object] | None = None,
) -> list[Outcome]:
    """Run every stage that has to be run, tracked in MLflow.

    Args:
        pipeline: What to run.
        workspace: Where its results are kept; held for as long as the run lasts.
        progress: Where to say how far it is; by default the terminal.
        wait_s: For how long to wait for another run in this workspace to end.
        finish: Called with what became of the stages and the run, before that ends.

    Raises:
        LifecycleError: what went wrong in which stage; what was finished before it is kept.
    """
    check_order(pipeline.stages)
    progress = progress or terminal_progress()
    make_data = data_maker(pipeline.project)
    name = pipeline.project.name
    with workspace.locked(wait_s, progress.note), recording(workspace, name, progress.note) as recorder:
        journal = Journal(workspace.journal)
        context = Context(
            project=pipeline.project,
            data=make_data,
            budget=pipeline.budget,
            seed=pipeline.seed,
            progress=progress,
        )
        tags = git_tags(pipeline.project.root)
        with recorder.run(name, tags) as parent:
            parent.log_json("environment.json", environment())
            outcomes = run_stages(
                pipeline.stages,
                context,
                cache=workspace.cache,
                log=PipelineRun(recorder, parent, tags),
                journal=journal,
                data_fingerprint=lambda: find_fingerprint(
                    pipeline.project, journal, lambda: _fingerprint(make_data), progress.note
                ),
            )
            if finish is not None:
                finish(outcomes, parent)
            return outcomes


def git_tags(root: Path) -> dict[str, str]:
    """Where the project's code stands, under MLflow's name for it; nothing outside a repository."""
    state = git_state(root)
    if state["commit"] is None:
        return {}
    dirty = str(state["dirty"]).lower()
    return {"mlflow.source.git.commit": str(state["commit"]), "lifecycle.git.dirty": dirty}


def data_maker(project: Project) -> Callable[[], DataModule]:
    """What makes the project's DataModule, anew at each call."""

    def make() -> DataModule:
        from lifecycle.core.errors import UsageError
        from lifecycle.train.data import DataModule

        cls = project.data.load(project.root)
        if not issubclass(cls, DataModule):
            wanted = f"class {cls.__name__}(lifecycle.DataModule)"
            raise UsageError(f"{project.data.text} is no lifecycle.DataModule: write `{wanted}`")
        given = cast("Mapping[str, JSON]", resolve(project.data_args))
        try:
            return cls(**given)
        except Exception as error:
            raise UsageError(
                f"{project.data.text} cannot be made with data_args {dict(project.data_args)}: "
                f"{mask(str(error))}"
            ) from error

    return make


def _fingerprint(make_data: Callable[[], DataModule]) -> str:
    from lifecycle.train.data import fingerprint

    return fingerprint(make_data())
