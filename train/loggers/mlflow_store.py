"""Where MLflow keeps runs, and how to reach it."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from mlflow import MlflowClient


class Store(NamedTuple):
    """A tracking server, or a database.

    Attributes:
        uri: As MLflow wants it.
        folder: Where a database of our own choice lies, with the files of its runs beside it; None for
            what the user named.
    """

    uri: str
    folder: Path | None

    def location(self, experiment: str) -> str | None:
        """Where the files of an experiment go; None leaves it to the store."""
        if self.folder is None:
            return None
        return (self.folder.resolve() / "mlartifacts" / re.sub(r"[^\w.-]+", "_", experiment)).as_uri()


def find_store(
    tracking_uri: str | None, save_dir: str | Path | None, environment: Mapping[str, str] = os.environ
) -> Store:
    """The store that was named, that of ``MLFLOW_TRACKING_URI``, or a database in a folder.

    MLflow no longer writes to bare folders, unless ``MLFLOW_ALLOW_FILE_STORE`` is set: a database within
    takes the place of one that was named.
    """
    uri = tracking_uri or environment.get("MLFLOW_TRACKING_URI")
    if not uri:
        return _database(Path(save_dir or "mlruns"))
    if not uri.startswith("file:") or environment.get("MLFLOW_ALLOW_FILE_STORE", "").lower() in ("1", "true"):
        return Store(uri, None)
    folder = Path(re.sub(r"^file:(//)?", "", uri))
    found = _database(folder)
    warnings.warn(
        f"MLflow no longer writes to folders such as {uri}: the run goes to {found.uri} (`mlflow "
        "migrate-filestore` takes older runs there; MLFLOW_ALLOW_FILE_STORE=true keeps to the folder)",
        stacklevel=3,
    )
    return found


def connect(store: Store) -> MlflowClient:
    """A client of a store.

    Several processes that first touch an empty SQLite database at once would crash in its migrations, so that
    is done under a lock.
    """
    from filelock import FileLock

    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    database = re.match(r"sqlite:///([^?]+)", store.uri)
    if database is None:
        return MlflowClient(store.uri)
    path = Path(database[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")), _quiet_migrations():
        client = MlflowClient(store.uri)
        client.search_experiments(max_results=1)
    return client


@contextmanager
def _quiet_migrations() -> Iterator[None]:
    """Making the tables is reported step by step, which is no news to anybody."""
    loggers = [logging.getLogger(name) for name in ("alembic", "mlflow.store.db.utils")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _database(folder: Path) -> Store:
    return Store(f"sqlite:///{folder / 'mlflow.db'}", folder)
