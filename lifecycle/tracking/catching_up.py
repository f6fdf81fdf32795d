"""Finding the registry, and delivering what runs recorded while it was away."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle import connection
from lifecycle.core.errors import LifecycleError
from lifecycle.tracking.delivery import waiting_folder
from lifecycle.tracking.recorder import catch_up
from lifecycle.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient


def find_registry(
    given: Path | None, environment: Mapping[str, str] = os.environ
) -> tuple[MlflowClient, Path]:
    """As `lifecycle.connection.find_registry`; what waits for delivery is delivered first.

    Args:
        given: The workspace that was named.
        environment: ``MLFLOW_TRACKING_URI`` serves without a workspace.

    Raises:
        UsageError: there is neither.
    """
    client, served = connection.find_registry(given, environment)
    _catch_up(client, Workspace(served.parent))
    return client, served


def _catch_up(client: MlflowClient, workspace: Workspace) -> None:
    """Deliver what runs recorded while the server was away, unless one is at work: that does it itself."""
    if not any(waiting_folder(workspace).glob("*.jsonl")):
        return
    try:
        with workspace.locked():
            catch_up(client, workspace)
    except LifecycleError as error:
        logging.getLogger(__name__).info("%s", error)
