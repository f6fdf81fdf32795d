"""Checks of MLflow: that it answers, that runs have ended, that aliases and files are where they belong."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse
from urllib.request import url2pathname

from lifecycle.connection import shown
from lifecycle.core.errors import LifecycleError
from lifecycle.doctor.finding import Finding
from lifecycle.history import History
from lifecycle.registry import CHAMPION, alias_of, model_names
from lifecycle.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient


def tracking_findings(
    workspace: Workspace | None, environment: Mapping[str, str] = os.environ
) -> Iterator[Finding]:
    """The store and all that is in it.

    Args:
        workspace: Where to look for an embedded store; None where there is no workspace yet.
        environment: ``MLFLOW_TRACKING_URI`` names another.
    """
    uri = environment.get("MLFLOW_TRACKING_URI") or (workspace.default_tracking_uri if workspace else "")
    embedded = workspace is not None and uri == workspace.default_tracking_uri
    if not uri or (embedded and not (workspace.path / "mlflow.db").is_file()):  # type: ignore[union-attr]
        yield Finding(area="tracking", what="no store yet: the first run makes one in its workspace")
        return
    try:
        client = _connect(uri, workspace, environment)
    except LifecycleError as error:
        yield Finding(area="tracking", what=error.message, state="broken", mend=_mend(error, uri))
        return
    yield Finding(area="tracking", what=f"MLflow at {shown(uri)} answers, its schema is current")
    if workspace is not None:
        yield from _orphans(client, workspace)
    yield from registry_findings(client)


def _connect(uri: str, workspace: Workspace | None, environment: Mapping[str, str]) -> MlflowClient:
    from lifecycle.tracking import connect, find_registry

    if workspace is not None:
        return connect(workspace, environment)
    return find_registry(None, environment)[0]


def _mend(error: LifecycleError, uri: str) -> str:
    if "schema" in error.message:
        return f"mlflow db upgrade {shown(uri)}   (after a copy of the database was made)"
    return error.hint


def _orphans(client: MlflowClient, workspace: Workspace) -> Iterator[Finding]:
    """Runs of this workspace that are said to run; doctor's caller looks at the lock."""
    from lifecycle.tracking import OWNER

    query = f"attributes.status = 'RUNNING' AND tags.`{OWNER}` = '{workspace.identity}'"
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found = client.search_runs(experiments, query, max_results=1000) if experiments else []
    if found:
        said = f"{len(found)} MLflow runs of this workspace are marked as running"
        mend = "If none works here, they were killed: the next run marks them so."
        yield Finding(area="tracking", what=said, state="note", mend=mend)


def registry_findings(client: MlflowClient) -> Iterator[Finding]:
    """Aliases beside the ledger, and files beside the versions that are served from them."""
    from lifecycle.ledger import Ledger

    names = model_names(client)
    wrong = 0
    for name in names:
        for finding in _alias(client, name, Ledger(client, name).read()):
            wrong += 1
            yield finding
    for finding in (*_missing(client), *_deleted(client)):
        wrong += 1
        yield finding
    if not wrong:
        said = f"{len(names)} registered models: aliases follow their ledgers, files are there"
        yield Finding(area="registry", what=said if names else "no model is registered yet")


def _alias(client: MlflowClient, name: str, history: History) -> Iterator[Finding]:
    latest = history.latest()
    found = alias_of(client, name, CHAMPION)
    if latest is None and found is not None:
        said = f"{name}@{CHAMPION} is version {found.number}, and no promotion in the ledger says so"
        mend = f"lifecycle promote {name} {found.number} --reason …   writes one, behind its gates."
        yield Finding(area="registry", what=said, state="note", mend=mend)
    elif latest is not None and (found is None or found.number != latest.version):
        leads = f"version {found.number}" if found else "nothing"
        said = f"{name}@{CHAMPION} leads to {leads}, but version {latest.version} was promoted last"
        mend = f"lifecycle history {name} --repair"
        yield Finding(area="registry", what=said, state="broken", mend=mend)


def _missing(client: MlflowClient) -> Iterator[Finding]:
    """Versions whose files are gone, where that can be seen from here."""
    from lifecycle.collection.needed import versions_of

    for name in model_names(client):
        for version in versions_of(client, name):
            location = urlparse(client.get_model_version_download_uri(name, str(version.version)))
            path = Path(url2pathname(location.path))
            if location.scheme in ("", "file") and not path.exists():
                said = f"the files of {name} version {version.version} are gone: {path}"
                mend = "Run its pipeline again, or restore the folder from a copy; MLflow shows READY."
                yield Finding(area="registry", what=said, state="broken", mend=mend)


def _deleted(client: MlflowClient) -> Iterator[Finding]:
    """What versions need and somebody marked as deleted."""
    from lifecycle.collection.needed import find_needed
    from lifecycle.collection.tracked import endangered

    for saved in endangered(client, find_needed(client)):
        said = f"{saved.kind} {saved.address[:14]}, which {saved.needed_by} needs, is marked as deleted"
        mend = "Before anyone runs `mlflow gc`: lifecycle gc --yes restores it."
        yield Finding(area="registry", what=said, state="broken", mend=mend)
