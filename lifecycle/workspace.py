"""The folder where a project's results live, and the lock that lets one run at a time work in it."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lifecycle.core.canonical import write_whole
from lifecycle.core.errors import LifecycleError, UsageError

FOLDER = ".lifecycle"


@dataclass(frozen=True)
class Workspace:
    """``.lifecycle/`` beside the pipeline file: the cache of artifacts, the tracking store, the lock."""

    path: Path

    @property
    def cache(self) -> Path:
        """Finished artifacts by stage and key."""
        return self.path / "cache"

    @property
    def served(self) -> Path:
        """Bundles fetched from the registry, by digest."""
        return self.path / "served"

    @property
    def reports(self) -> Path:
        """Pages of runs, each in a folder named after its time and run."""
        return self.path / "reports"

    @property
    def sensitivity(self) -> Path:
        """What single layers cost, by the digest of the checkpoint and the change."""
        return self.path / "sensitivity"

    @property
    def default_tracking_uri(self) -> str:
        """The embedded MLflow store."""
        return f"sqlite:///{self.path / 'mlflow.db'}"

    @property
    def identity(self) -> str:
        """A random name, made once: tells this workspace's runs from others' on a shared server."""
        path = self.path / "identity"
        if not path.is_file():
            self.path.mkdir(parents=True, exist_ok=True)
            write_whole(path, uuid.uuid4().hex.encode())
        return path.read_text()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the workspace for a run; the system lets go of the lock when the process dies.

        Raises:
            LifecycleError: another run holds it; says which process and since when.
        """
        from filelock import FileLock, Timeout

        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"the workspace {self.path} cannot be made: {error.strerror}",
                hint="Choose a folder that can be written with --workspace PATH.",
            ) from None
        holder = self.path / "lock.json"
        lock = FileLock(self.path / "lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise LifecycleError(
                f"another run works in {self.path}{_holder(holder)}",
                hint="Wait until it has ended, or stop it; its lock goes with it.",
            ) from None
        try:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            write_whole(holder, json.dumps({"pid": os.getpid(), "since": now}).encode())
            self._sweep()
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()

    def _sweep(self) -> None:
        """Remove drafts that a killed run left: nobody else can be writing them now."""
        for draft in self.cache.glob("*/.*.draft"):
            shutil.rmtree(draft, ignore_errors=True)


def find_workspace(given: Path | None) -> Workspace:
    """The workspace that was named, or the one here or in a folder above.

    Raises:
        UsageError: there is none.
    """
    if given is not None:
        if not given.is_dir():
            raise UsageError(
                f"no workspace {given}", hint="`lifecycle run FILE` makes one beside its pipeline file."
            )
        return Workspace(given.resolve())
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / FOLDER).is_dir():
            return Workspace(folder / FOLDER)
    raise UsageError(
        f"no workspace: neither {here} nor a folder above it has a {FOLDER}/",
        hint=f"Go to the folder of the pipeline file, or add --workspace PATH/{FOLDER}.",
    )


def _holder(path: Path) -> str:
    try:
        content = json.loads(path.read_bytes())
        return f": process {content['pid']}, since {content['since']}"
    except (OSError, ValueError, KeyError):
        return ""
