"""The page of a run that has just ended: written into the workspace, and kept with the run in MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.core.errors import UsageError
from lifecycle.pipeline.runner import Failure, Outcome
from lifecycle.pipeline.spec import Pipeline
from lifecycle.report.page.known import find_facts
from lifecycle.report.page.page import write_page
from lifecycle.workspace import Workspace

if TYPE_CHECKING:
    from lifecycle.tracking import RecordedRun


def report_run(
    pipeline: Pipeline,
    workspace: Workspace,
    outcomes: Sequence[Outcome],
    run: RecordedRun,
    failure: Failure | None = None,
) -> Path:
    """Write the page of a run, one that failed too, and log it; returns where it is."""
    path = write_page(find_facts(pipeline, workspace, outcomes, run, failure), workspace.reports)
    run.log_artifacts(path.parent)  # on disk first: MLflow gets it when it answers
    return path


def newest_report(workspace: Workspace) -> Path:
    """The page of the last run of a workspace.

    Raises:
        UsageError: no run has ended there yet.
    """
    found = sorted(workspace.reports.glob("*/report.html"))
    if not found:
        raise UsageError(f"{workspace.path} holds no report yet", hint="`lifecycle run FILE` ends with one.")
    return found[-1]
