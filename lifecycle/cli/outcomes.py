"""A pipeline, or the first part of one, run and shown."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.cli.output import print_json, print_note, print_table
from lifecycle.core.errors import UsageError

if TYPE_CHECKING:
    from lifecycle.pipeline.runner import Failure, Outcome
    from lifecycle.pipeline.spec import Pipeline
    from lifecycle.tracking import RecordedRun
    from lifecycle.workspace import Workspace


def read(file: Path, overrides: Sequence[str], workspace: Path | None) -> tuple[Pipeline, Workspace]:
    """The pipeline of a file with what the command line sets, and where its results are kept."""
    from lifecycle.pipeline.spec import read_pipeline
    from lifecycle.workspace import FOLDER, Workspace

    pipeline = read_pipeline(file, os.environ, overrides)
    return pipeline, Workspace((workspace or file.parent / FOLDER).resolve())


def up_to(pipeline: Pipeline, stage: str) -> Pipeline:
    """The pipeline's stages from the first to a named one.

    Raises:
        UsageError: it has no such stage.
    """
    names = list(pipeline.stages)
    if stage not in names:
        raise UsageError(
            f"the pipeline file has no '{stage}': its stages are {', '.join(names)}",
            hint=f"add a line `{stage}: {{…}}`, or set an option: {stage}.{_example(stage)}",
        )
    kept = names[: names.index(stage) + 1]
    return replace(pipeline, stages={name: pipeline.stages[name] for name in kept})


def run_reported(
    pipeline: Pipeline, workspace: Workspace, *, wait_s: float = 0.0
) -> tuple[list[Outcome], str]:
    """Run a pipeline; what became of each stage, and where the page is that tells of it.

    Of a run that fails the page is named before the error is raised.

    Args:
        pipeline: What to run.
        workspace: Where.
        wait_s: For how long to wait for another run there to end.
    """
    from lifecycle.report.run import report_run
    from lifecycle.session import run_pipeline

    pages = list[Path]()

    def finish(outcomes: Sequence[Outcome], run: RecordedRun, failure: Failure | None) -> None:
        pages.append(report_run(pipeline, workspace, outcomes, run, failure))

    try:
        outcomes = run_pipeline(pipeline, workspace, wait_s=wait_s, finish=finish)
    except Exception:
        for page in pages:
            print_note(f"Report: {os.path.relpath(page)}")
        raise
    return outcomes, os.path.relpath(pages[0])


def show(title: str, outcomes: Sequence[Outcome], *, as_json: bool) -> None:
    """What became of every stage."""
    from lifecycle.report.summary import STAGE_COLUMNS, outcome_json, stage_rows

    if as_json:
        print_json([outcome_json(outcome) for outcome in outcomes])
    else:
        print_table(title, STAGE_COLUMNS, stage_rows(outcomes))


def _example(stage: str) -> str:
    return {"prune": "macs=0.5", "quantize": "method=static"}.get(stage, "…")
