"""One run of a pipeline: workspace locked, tracking open, stages run, statuses set."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from lifecycle.core import interrupt
from lifecycle.core.asked import COSTS, Asked
from lifecycle.core.canonical import JSON
from lifecycle.core.errors import UsageError
from lifecycle.core.progress import Progress, terminal_progress
from lifecycle.core.secrets import mask, resolve
from lifecycle.core.stage import Context, Project, Tracker
from lifecycle.pipeline.classes import lacks_split, model_may_load, splits_of
from lifecycle.pipeline.fingerprint import find_fingerprint
from lifecycle.pipeline.journal import Journal
from lifecycle.pipeline.runner import Failure, Outcome, check_order, failure_of, run_stages
from lifecycle.pipeline.spec import Pipeline
from lifecycle.report.plots import log_plots
from lifecycle.stages.apart import fits_in_several
from lifecycle.stages.facts import git_state
from lifecycle.tracking import PipelineRun, RecordedRun, recording
from lifecycle.tracking.machine import environment
from lifecycle.workspace import Workspace

if TYPE_CHECKING:
    from lifecycle.train.data import DataModule


Finish = Callable[[Sequence[Outcome], RecordedRun, Failure | None], object]


def run_pipeline(
    pipeline: Pipeline,
    workspace: Workspace,
    progress: Progress | None = None,
    *,
    wait_s: float = 0.0,
    finish: Finish | None = None,
) -> list[Outcome]:
    """Run every stage that has to be run, tracked in MLflow.

    Args:
        pipeline: What to run.
        workspace: Where its results are kept; held for as long as the run lasts.
        progress: Where to say how far it is; by default the terminal.
        wait_s: For how long to wait for another run in this workspace to end.
        finish: Called with what became of the stages, the run, and why it failed if it did, before it ends.

    Raises:
        LifecycleError: what went wrong in which stage; what was finished before it is kept.
    """
    check_order(pipeline.stages)
    progress = progress or terminal_progress()
    name = pipeline.project.name
    with workspace.locked(wait_s, progress.note), recording(workspace, name, progress.note) as recorder:
        tags = git_tags(pipeline.project.root)
        with recorder.run(name, tags) as parent:
            parent.log_json("environment.json", environment())
            return _run(pipeline, workspace, progress, PipelineRun(recorder, parent, tags), finish)


def _run(
    pipeline: Pipeline, workspace: Workspace, progress: Progress, log: PipelineRun, finish: Finish | None
) -> list[Outcome]:
    """The stages, with whoever waits for their end told of it."""
    outcomes: list[Outcome] = []

    def ended(outcome: Outcome, tracker: Tracker) -> None:
        outcomes.append(outcome)
        log_plots(outcomes, workspace, tracker)

    make_data = data_maker(pipeline.project, dict(splits_of(pipeline.stages)))
    journal = Journal(workspace.journal)
    try:
        run_stages(
            pipeline.stages,
            _context(pipeline, make_data, progress),
            cache=workspace.cache,
            log=log,
            journal=journal,
            data_fingerprint=lambda: find_fingerprint(
                pipeline.project, journal, lambda: _fingerprint(make_data), progress.note
            ),
            ended=ended,
        )
    except Exception as error:
        if finish is not None and interrupt.received() is None:
            _told(finish, outcomes, log.parent, failure_of(pipeline.stages, outcomes, error))
        raise
    if finish is not None:
        finish(outcomes, log.parent, None)
    return outcomes


def _context(pipeline: Pipeline, make_data: Callable[[], DataModule], progress: Progress) -> Context:
    return Context(
        project=pipeline.project,
        data=make_data,
        budget=pipeline.budget,
        asked=tuple(asked_of(pipeline)),
        seed=pipeline.seed,
        progress=progress,
        several=fits_in_several(pipeline.stages),
    )


def _told(finish: Finish, outcomes: Sequence[Outcome], run: RecordedRun, failure: Failure) -> None:
    """Tell of a failure, without hiding it behind another."""
    try:
        finish(outcomes, run, failure)
    except Exception as error:
        logging.getLogger(__name__).warning("the run's failure is not reported on a page: %s", error)


def asked_of(pipeline: Pipeline) -> Iterator[Asked]:
    """The metrics that budget and gates count on."""
    metric = pipeline.budget.metric
    if metric is not None:
        option = "budget.metric"
        yield Asked(name=metric, split="val", option=option, place=pipeline.places.get(option, ""))
    for stage in pipeline.stages.values():
        for name in getattr(stage, "gates", {}):
            if name not in COSTS:
                option = f"gates.{name}"
                yield Asked(name=name, split="test", option=option, place=pipeline.places.get(option, ""))


def git_tags(root: Path) -> dict[str, str]:
    """Where the project's code stands, under MLflow's name for it; nothing outside a repository."""
    state = git_state(root)
    if state["commit"] is None:
        return {}
    dirty = str(state["dirty"]).lower()
    return {"mlflow.source.git.commit": str(state["commit"]), "lifecycle.git.dirty": dirty}


def data_maker(project: Project, needed: Mapping[str, str] | None = None) -> Callable[[], DataModule]:
    """What makes the project's DataModule, anew at each call.

    Args:
        project: Whose.
        needed: Splits that it has to have, each with the stage that needs it.
    """

    def make() -> DataModule:
        from lifecycle.train.data import DataModule, has_loader

        cls = project.data.load(project.root)
        if not issubclass(cls, DataModule):
            wanted = f"class {cls.__name__}(lifecycle.DataModule)"
            raise UsageError(f"{project.data.text} is no lifecycle.DataModule: write `{wanted}`")
        given = cast("Mapping[str, JSON]", resolve(project.data_args))
        try:
            data = cls(**given)
        except Exception as error:
            raise UsageError(
                f"{project.data.text} cannot be made with data_args {dict(project.data_args)}: "
                f"{mask(str(error))}"
            ) from error
        for split, stage in (needed or {}).items():
            if not has_loader(data, f"{split}_dataloader") and not model_may_load(project, split):
                raise lacks_split(project, split, stage)
        return data

    return make


def _fingerprint(make_data: Callable[[], DataModule]) -> str:
    from lifecycle.train.data import fingerprint

    return fingerprint(make_data())
