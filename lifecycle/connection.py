"""Reaching MLflow: the server that the environment names, or the workspace's own store.

Who serves comes here; who records runs goes through `lifecycle.tracking`, which also delivers what waits.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.core.collector import resting
from lifecycle.core.errors import LifecycleError, UsageError, suggest
from lifecycle.workspace import Workspace, find_workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient

# What MLflow says of a server that is down, restarting or behind a network that is.
_FOR_NOW = ("DEADLINE_EXCEEDED", "INTERNAL_ERROR", "REQUEST_LIMIT_EXCEEDED", "TEMPORARILY_UNAVAILABLE")
_PROBE_S = 5.0
# What does not get through is kept and tried again by us: minutes of waiting in each request help nobody.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
_set_here: set[str] = set()
# Stores that MLflow has; a database may name its driver, as in postgresql+psycopg2.
_SCHEMES = ("databricks", "databricks-uc", "http", "https", "mssql", "mysql", "postgresql", "sqlite", "uc")


class AwayError(LifecycleError):
    """The tracking server does not answer, or cannot serve for the moment."""


def users_environment() -> dict[str, str]:
    """The environment without the patience that `connect` has set: a server that is started has its own."""
    return {name: value for name, value in os.environ.items() if name not in _set_here}


def connect(workspace: Workspace, environment: Mapping[str, str] = os.environ) -> MlflowClient:
    """A client of ``MLFLOW_TRACKING_URI``, or of the workspace's own store.

    Several processes that first touch an empty SQLite store at once would crash in its migrations,
    so it is opened under a lock.

    Raises:
        AwayError: the server does not answer: it may later.
        UsageError: the address is none that MLflow knows.
        LifecycleError: the store or server cannot be used.
    """
    for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        if environment.get("MLFLOW_ALLOW_FILE_STORE") != "true":
            _check_address(variable, environment.get(variable) or workspace.default_tracking_uri)
    with resting():
        return _connect(workspace, environment)


def _connect(workspace: Workspace, environment: Mapping[str, str]) -> MlflowClient:
    from filelock import FileLock

    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # drawn into pipes too
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # where our data goes
    for name, value in _PATIENCE.items():
        if name not in os.environ:
            os.environ[name] = value
            _set_here.add(name)
    from mlflow import MlflowClient

    # Migrations report each step, and MLflow hints at features; neither is news to our users.
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)

    uri = tracking_uri(workspace, environment)
    if problem := _unanswered(uri):
        raise AwayError(f"MLflow at {shown(uri)} does not answer: {problem}", hint=_HINT)
    registry = environment.get("MLFLOW_REGISTRY_URI") or uri
    try:
        workspace.path.mkdir(parents=True, exist_ok=True)
        with FileLock(workspace.path / "mlflow.lock"):
            client = MlflowClient(uri, registry)
            client.search_experiments(max_results=1)
            client.search_registered_models(max_results=1)
    except Exception as error:  # MLflow's own, the database driver's, the network's, the file system's
        reason = str(error).strip().partition("\n")[0]
        kind = AwayError if is_away(error, uri) else LifecycleError
        raise kind(f"MLflow at {shown(uri)} cannot be used: {reason}", hint=_HINT) from error
    return client


def _check_address(variable: str, uri: str) -> None:
    """Raise `UsageError` for an address that no store answers to, before MLflow is imported."""
    scheme, colon, _ = uri.partition(":")
    if not colon or scheme == "file":
        if uri in _SCHEMES:
            return
        raise UsageError(
            f"{variable} is '{shown(uri)}', a folder: MLflow records in databases and servers only",
            hint=f"Write {variable}=sqlite:///PATH/mlflow.db, or unset it to record in the workspace.",
        )
    known = {*_SCHEMES, *(point.name for point in entry_points(group="mlflow.tracking_store"))}
    if scheme.partition("+")[0] not in known:
        raise UsageError(
            f"{variable} is '{shown(uri)}', and MLflow has no store '{scheme}:': {suggest(scheme, known)}",
            hint=f"Such as {variable}=http://127.0.0.1:5000, or unset it to record in the workspace.",
        )


_HINT = (
    "Check MLFLOW_TRACKING_URI, and MLFLOW_TRACKING_USERNAME and _PASSWORD where it asks who you are; "
    "a damaged mlflow.db of a workspace can be moved away."
)


def tracking_uri(workspace: Workspace, environment: Mapping[str, str] = os.environ) -> str:
    """Where runs are recorded."""
    return environment.get("MLFLOW_TRACKING_URI") or workspace.default_tracking_uri


def shown(uri: str) -> str:
    """An address without the name and password that it may hold.

    >>> shown("https://me:secret@example.com:5000/mlflow")
    'https://example.com:5000/mlflow'
    """
    scheme, separator, rest = uri.partition("://")
    place, slash, path = rest.partition("/")
    return f"{scheme}{separator}{place.rpartition('@')[2]}{slash}{path}"


def is_away(error: Exception, uri: str) -> bool:
    """Whether what failed may work later: a server's outage, or a database that is locked or out of space."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        return error.error_code in _FOR_NOW and (uri.startswith("http") or "OperationalError" in str(error))
    return isinstance(error, OSError) and not isinstance(error, FileNotFoundError)


def _unanswered(uri: str) -> str:
    """Why nobody answers at the address of a server; empty where somebody does, whatever they say."""
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import urlopen

    if not uri.startswith(("http://", "https://")):
        return ""
    try:
        urlopen(shown(uri), timeout=_PROBE_S).close()
    except HTTPError as error:
        error.close()
        return f"it says {error.code} {error.reason}" if error.code in (502, 503, 504) else ""
    except URLError as error:
        # Of a certificate that is not trusted, MLflow says more.
        return "" if "CERTIFICATE" in str(error.reason) else str(error.reason)
    except (OSError, HTTPException) as error:
        return str(error) or type(error).__name__
    return ""


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
