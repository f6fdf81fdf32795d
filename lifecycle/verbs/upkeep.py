"""Beginning a project, and looking after a workspace."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.core.progress import NullProgress, Progress, working
from lifecycle.verbs.places import given_workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from lifecycle.collection.items import Plan
    from lifecycle.collection.retention import Retention
    from lifecycle.doctor.finding import Finding


def init(folder: str | Path, *, template: str = "image", name: str | None = None) -> list[Path]:
    """Write a project that runs as it is: a pipeline file, a module and its data.

    Args:
        folder: Where; nothing that stands there is overwritten.
        template: ``image`` or ``tabular``.
        name: Of the experiment and the registered model; by default that of the folder.

    Returns:
        The files that were written.

    Raises:
        UsageError: something is in the way, or the template or the name will not do.
    """
    from lifecycle.scaffold.project import make_project

    return make_project(Path(folder), template, name)


def doctor(workspace: str | Path | None = None) -> Iterator[Finding]:
    """What is right and wrong with installation, devices, plug-ins, workspace, store and registry, as found.

    Args:
        workspace: Which to look at; by default the one here or above, if there is one.

    Raises:
        UsageError: the workspace that was named is none.
    """
    from lifecycle.core.errors import UsageError
    from lifecycle.doctor.finding import Finding
    from lifecycle.doctor.installation import devices, installation, plug_ins
    from lifecycle.doctor.registry import tracking_findings
    from lifecycle.doctor.workspace import workspace_findings
    from lifecycle.workspace import find_workspace

    given = given_workspace(workspace)
    yield from installation()
    yield from devices()
    yield from plug_ins()
    try:
        place = find_workspace(given)
    except UsageError:
        if given is not None:
            raise
        yield Finding(area="workspace", what="none here: the first run makes one beside its pipeline file")
        yield from tracking_findings(None)
    else:
        yield from workspace_findings(place)
        yield from tracking_findings(place)


def gc(
    *,
    yes: bool = False,
    versions: bool = False,
    retention: Retention | None = None,
    workspace: str | Path | None = None,
) -> Plan:
    """Remove what nothing refers to; what a version, an alias or a kept promotion needs stays.

    Args:
        yes: Do it; without, only say what would go.
        versions: Registered versions may go too: without an alias, and in no kept promotion.
        retention: What stays in any case; by default ten promotions, ten runs, thirty days.
        workspace: Which; by default the one here or above.

    Returns:
        What goes, and what was restored because it is needed.

    Raises:
        UsageError: there is no workspace.
    """
    return collected(yes=yes, versions=versions, retention=retention, workspace=workspace)[0]


def collected(
    *,
    yes: bool,
    versions: bool,
    retention: Retention | None,
    workspace: str | Path | None,
    wait_s: float = 0.0,
    note: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> tuple[Plan, MlflowClient]:
    """As `gc`, and the client with which it was done."""
    from lifecycle.collection.collect import collect, find_garbage
    from lifecycle.collection.retention import Retention
    from lifecycle.tracking import connect
    from lifecycle.workspace import find_workspace

    place = find_workspace(given_workspace(workspace))
    client = connect(place)
    with place.locked(wait_s, note) if yes else nullcontext():
        with working("looking for what nothing refers to"):
            plan = find_garbage(client, place, retention or Retention(), versions=versions)
        if yes:
            collect(client, plan, progress or NullProgress())
    return plan, client


def report(workspace: str | Path | None = None) -> Path:
    """Where the page of the last run is.

    Raises:
        UsageError: there is no workspace, or no run has ended in it.
    """
    from lifecycle.report.run import newest_report
    from lifecycle.workspace import find_workspace

    return newest_report(find_workspace(given_workspace(workspace)))


def ui(workspace: str | Path | None = None, *, port: int = 0, ready: Callable[[str], None] = print) -> None:
    """Open MLflow's pages of a workspace on this machine, until SIGINT or SIGTERM.

    Args:
        workspace: Which; by default the one here or above.
        port: To listen on; 0 for any free one.
        ready: Told the address. Where ``MLFLOW_TRACKING_URI`` names a server, its pages are there, and this
            returns at once.

    Raises:
        UsageError: there is no workspace, or the port is taken.
        LifecycleError: MLflow's server does not answer.
    """
    from lifecycle.pages import open_pages
    from lifecycle.tracking import connect
    from lifecycle.workspace import find_workspace

    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if uri.startswith(("http://", "https://")):
        ready(uri)
        return
    place = find_workspace(given_workspace(workspace))
    connect(place)  # makes the store, or says what is wrong with it
    open_pages(uri or place.default_tracking_uri, port, ready)
