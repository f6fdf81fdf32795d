"""From settings to a running server: the calling process becomes BentoML's supervisor."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import NoReturn

from lifecycle.core.ports import free_port
from lifecycle.serve.access.keys import read_keys
from lifecycle.serve.observability.tracing import find_exporter
from lifecycle.serve.settings import Settings


def run_server(settings: Settings) -> NoReturn:
    """Serve until SIGTERM or SIGINT; then requests in work are finished and the exit code is 0.

    The process is replaced, so that its id stays, signals arrive, and nothing that the caller imported
    (MLflow, say) stays in memory. When a model cannot be served the exit code is 1 and stderr says why.

    Raises:
        UsageError: the address cannot be listened on, the API keys cannot be read, or spans cannot be sent.
    """
    read_keys(settings.api_keys)
    if settings.tracing:
        find_exporter()
    models = tuple(replace(model, bundle=model.bundle.resolve()) for model in settings.models)
    settings = replace(
        settings,
        models=models,
        port=free_port(settings.host, settings.port),
        workspace=settings.workspace and settings.workspace.resolve(),
        api_keys=settings.api_keys and settings.api_keys.resolve(),
    )
    sys.stdout.flush()
    sys.stderr.flush()
    command = [sys.executable, "-P", "-m", "lifecycle.serve.processes.supervisor"]
    os.execve(sys.executable, command, os.environ | settings.to_environment())
