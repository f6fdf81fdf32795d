"""A pipeline, or the first part of one, run and shown."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.cli.output import print_json, print_note, print_table

if TYPE_CHECKING:
    from lifecycle.pipeline.runner import Outcome
    from lifecycle.pipeline.spec import Pipeline
    from lifecycle.workspace import Workspace


def read(file: Path, overrides: Sequence[str], workspace: Path | None) -> tuple[Pipeline, Workspace]:
    """The pipeline of a file with what the command line sets, and where its results are kept."""
    from lifecycle.pipeline.spec import read_pipeline
    from lifecycle.workspace import FOLDER, Workspace

    pipeline = read_pipeline(file, os.environ, overrides)
    return pipeline, Workspace((workspace or file.parent / FOLDER).resolve())


def run_reported(
    pipeline: Pipeline, workspace: Workspace, *, wait_s: float = 0.0
) -> tuple[Sequence[Outcome], str]:
    """Run a pipeline; what became of each stage, and where the page is that tells of it.

    Of a run that fails the page is named before the error is raised.

    Args:
        pipeline: What to run.
        workspace: Where.
        wait_s: For how long to wait for another run there to end.
    """
    from lifecycle.verbs import pipelines

    result = pipelines.run_reported(pipeline, workspace, wait_s=wait_s, tell=print_note)
    return result.outcomes, os.path.relpath(result.report)


def show(title: str, outcomes: Sequence[Outcome], *, as_json: bool) -> None:
    """What became of every stage."""
    from lifecycle.report.summary import STAGE_COLUMNS, outcome_json, stage_rows

    if as_json:
        print_json([outcome_json(outcome) for outcome in outcomes])
    else:
        print_table(title, STAGE_COLUMNS, stage_rows(outcomes))
