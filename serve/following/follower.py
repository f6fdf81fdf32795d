"""``python -m lifecycle.serve.following.follower``: asks the registry, so that no worker ever has to.

Loads MLflow, which workers do not; one thread to each followed model. It ends with the supervisor, whose end
of a pipe it reads, and it ends itself when the registry hangs beyond all time-outs: the supervisor starts
another, which goes on from the files.
"""

from __future__ import annotations

import functools
import os
import select
import shutil
import signal
import threading
import time
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.connection import find_registry
from lifecycle.core.artifact import open_artifact
from lifecycle.serve.following.followed import Followed, Target, path_of, read, write
from lifecycle.serve.following.poll import Outcome, Poll, log
from lifecycle.serve.observability.cells import Cells
from lifecycle.serve.observability.metrics import CELLS, Metrics
from lifecycle.serve.processes.worker import configure_logging, home
from lifecycle.serve.settings import ServedModel, Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

HELD = 0
"""The file descriptor that reads as ended when the supervisor is gone: standard input."""

_HUNG, _BROKEN = 75, 70
_LOOK_S = 0.5
_OLD_S = 86_400.0


def main() -> None:
    """Follow until the supervisor is gone."""
    configure_logging()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's affair
    os.nice(5)  # requests come first
    prepare_environment(os.environ)
    settings = Settings.from_environment()
    metrics = Metrics(Cells(home() / CELLS, "follower"))
    polls = list(polls_of(settings, home(), Registry(settings.workspace), metrics))
    threads = [
        threading.Thread(target=poll.run, args=(_sleep,), name=poll.state.uri, daemon=True) for poll in polls
    ]
    for thread in threads:
        thread.start()
    while not select.select([HELD], [], [], _LOOK_S)[0]:
        if not all(thread.is_alive() for thread in threads):
            os._exit(_BROKEN)  # its traceback is in the log
        for poll in polls:
            if time.monotonic() > poll.deadline:
                log.error("%s: the registry hangs; following it anew", poll.state.uri)
                os._exit(_HUNG)
    os._exit(0)  # whatever hangs, hangs no more


def prepare_environment(environment: MutableMapping[str, str]) -> None:
    """MLflow waits for minutes unless it is told otherwise; what the user set stays.

    A connection kept to a SQLite file reads that file for ever, even when another was put in its place.
    """
    environment.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    environment.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    environment.setdefault("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")


def polls_of(settings: Settings, folder: Path, registry: Registry, metrics: Metrics) -> Iterator[Poll]:
    """One for each followed model, going on from where the last follower was."""
    for index, model in enumerate(settings.models):
        if model.follow is None:
            continue
        path = path_of(folder, index)
        state = read(path) or _first_state(model)
        write(path, state)
        yield Poll(
            state,
            path,
            registry,
            period_s=settings.poll_s,
            report=functools.partial(_count, metrics, model.name),
        )


def _first_state(model: ServedModel) -> Followed:
    digest = open_artifact(model.bundle, "bundle").digest
    target = Target(version=model.version, digest=digest, bundle=model.bundle)
    return Followed(uri=str(model.follow), target=target)


class Registry:
    """Connects at the first call that succeeds; one connection serves all threads.

    Args:
        workspace: Whose store it is, unless ``MLFLOW_TRACKING_URI`` names another.
    """

    def __init__(self, workspace: Path | None) -> None:
        self._workspace = workspace
        self._lock = threading.Lock()
        self._connected: tuple[MlflowClient, Path] | None = None

    def __call__(self) -> tuple[MlflowClient, Path]:
        """Client, and where bundles are fetched to; raises `LifecycleError` while it cannot be reached."""
        with self._lock:
            if self._connected is None:
                self._connected = find_registry(self._workspace)
                client, folder = self._connected
                _sweep(folder)
                # `process_address` lends these for a while and puts back what was there: let it be the same.
                os.environ["MLFLOW_TRACKING_URI"] = client.tracking_uri
            return self._connected


def _sweep(folder: Path) -> None:
    """Remove what a follower that was killed had fetched in part; nobody fetches for a day."""
    for path in folder.glob(".fetched-*"):
        if path.stat().st_mtime < time.time() - _OLD_S:
            shutil.rmtree(path, ignore_errors=True)


def _count(metrics: Metrics, model: str, outcome: Outcome, state: Followed) -> None:
    family = "lifecycle_registry_looks" if outcome in ("answered", "failed") else "lifecycle_candidates"
    metrics.add(family, (model, outcome))
    metrics.set("lifecycle_registry_up", (model,), float(state.answers))
    metrics.set("lifecycle_registry_answered_timestamp_seconds", (model,), state.answered or 0.0)
    metrics.set("lifecycle_model_refused", (model,), float(state.refused is not None))


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return True


if __name__ == "__main__":
    main()
