"""From settings to a running server: the calling process becomes BentoML's supervisor."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import NoReturn

from lifecycle.connection import users_environment
from lifecycle.core.ports import free_port
from lifecycle.serve.access.keys import read_keys
from lifecycle.serve.observability.tracing import find_exporter
from lifecycle.serve.settings import Settings

_COMMAND = [sys.executable, "-P", "-m", "lifecycle.serve.processes.supervisor"]


def run_server(settings: Settings) -> NoReturn:
    """Serve until SIGTERM or SIGINT; then requests in work are finished and the exit code is 0.

    The process is replaced, so that its id stays, signals arrive, and nothing that the caller imported
    (MLflow, say) stays in memory. When a model cannot be served the exit code is 1 and stderr says why.

    Raises:
        UsageError: the address cannot be listened on, the API keys cannot be read, or spans cannot be sent.
    """
    settings = _prepared(settings)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, _COMMAND, users_environment() | settings.to_environment())


def start_server(settings: Settings, log: int) -> tuple[subprocess.Popen[bytes], Settings]:
    """Start a server beside the calling process; SIGTERM ends it.

    Args:
        settings: As for `run_server`.
        log: File descriptor of what it writes.

    Returns:
        The process, and the settings with the port that was found.

    Raises:
        UsageError: as `run_server`.
    """
    settings = _prepared(settings)
    process = subprocess.Popen(
        _COMMAND,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,  # a Ctrl-C, or a notebook's interrupt, is for the caller alone
        env=users_environment() | settings.to_environment(),
    )
    return process, settings


def _prepared(settings: Settings) -> Settings:
    """Checked as far as that can be done before starting, with a real port and paths that hold anywhere."""
    read_keys(settings.api_keys)
    if settings.tracing:
        find_exporter()
    models = tuple(replace(model, bundle=model.bundle.resolve()) for model in settings.models)
    return replace(
        settings,
        models=models,
        port=free_port(settings.host, settings.port),
        workspace=settings.workspace and settings.workspace.resolve(),
        api_keys=settings.api_keys and settings.api_keys.resolve(),
    )
