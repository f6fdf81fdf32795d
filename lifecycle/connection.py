"""The way to the registry: a client of the store or server that the environment or the workspace names."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.core.errors import LifecycleError
from lifecycle.workspace import Workspace, find_workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient


def connect(workspace: Workspace, environment: Mapping[str, str] = os.environ) -> MlflowClient:
    """A client of ``MLFLOW_TRACKING_URI``, or of the workspace's own store.

    Several processes that first touch an empty SQLite store at once would crash in its migrations,
    so it is opened under a lock.

    Raises:
        LifecycleError: the store or server cannot be reached.
    """
    from filelock import FileLock

    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # drawn into pipes too
    from mlflow import MlflowClient

    # Migrations report each step, and MLflow hints at features; neither is news to our users.
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)

    uri = environment.get("MLFLOW_TRACKING_URI") or workspace.default_tracking_uri
    registry = environment.get("MLFLOW_REGISTRY_URI") or uri
    try:
        workspace.path.mkdir(parents=True, exist_ok=True)
        with FileLock(workspace.path / "mlflow.lock"):
            client = MlflowClient(uri, registry)
            client.search_experiments(max_results=1)
            client.search_registered_models(max_results=1)
    except Exception as error:  # MLflow's own, the database driver's, the network's, the file system's
        reason = str(error).strip().partition("\n")[0]
        raise LifecycleError(
            f"MLflow at {uri} cannot be used: {reason}",
            hint="Check MLFLOW_TRACKING_URI; a damaged mlflow.db of a workspace can be moved away.",
        ) from error
    return client


def find_registry(
    given: Path | None, environment: Mapping[str, str] = os.environ
) -> tuple[MlflowClient, Path]:
    """A client for verbs that need no project, and where they keep what they fetch.

    Args:
        given: The workspace that was named.
        environment: ``MLFLOW_TRACKING_URI`` serves without a workspace.

    Raises:
        UsageError: there is neither.
    """
    if given is None and environment.get("MLFLOW_TRACKING_URI"):
        home = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        workspace = Workspace(home / "lifecycle")
    else:
        workspace = find_workspace(given)
    return connect(workspace, environment), workspace.served
