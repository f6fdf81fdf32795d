"""The folder where a project's results live, and the lock that lets one run at a time work in it."""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.core.canonical import write_whole
from lifecycle.core.errors import LifecycleError, UsageError

if TYPE_CHECKING:
    from filelock import BaseFileLock

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
    def journal(self) -> Path:
        """What ran before, on what it depended and how long it took."""
        return self.path / "journal.jsonl"

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
            aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
            write_whole(aside, uuid.uuid4().hex.encode())
            with suppress(FileExistsError):  # of several who make it at once, one does
                path.hardlink_to(aside)
            aside.unlink()
        return path.read_text()

    @contextmanager
    def locked(self, wait_s: float = 0.0, tell: Callable[[str], None] | None = None) -> Iterator[None]:
        """Hold the workspace for a run; the system lets go of the lock when the process dies.

        Args:
            wait_s: For how long to wait while another run holds it.
            tell: Told who is waited for.

        Raises:
            LifecycleError: another run holds it; says which process and since when.
        """
        from filelock import FileLock

        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"the workspace {self.path} cannot be made: {error.strerror}",
                hint="Choose a folder that can be written with --workspace PATH.",
            ) from None
        holder = self.path / "lock.json"
        lock = FileLock(self.path / "lock")
        if not _acquired(lock, 0.0):
            message = f"another run works in {self.path}{_holder(holder)}"
            if wait_s and tell is not None:
                tell(f"{message}: waiting for it to end")
            if not wait_s or not _acquired(lock, wait_s):
                raise LifecycleError(
                    f"another run works in {self.path}{_holder(holder)}",
                    hint="Wait until it has ended (--wait does), or stop it; its lock goes with it.",
                )
        try:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            about = {"pid": os.getpid(), "since": now, "host": platform.node(), "command": _command()}
            write_whole(holder, json.dumps(about).encode())
            self._sweep()
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()

    def _sweep(self) -> None:
        """Remove what a killed run left half written: nobody else can be writing it now."""
        for draft in self.cache.glob("*/.*.draft"):
            shutil.rmtree(draft, ignore_errors=True)
        for pattern in (".lock.json.*", ".journal.jsonl.*", "tracking/*/.*"):
            for aside in self.path.glob(pattern):
                aside.unlink(missing_ok=True)


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
        if given.name != FOLDER and (given / FOLDER).is_dir():
            raise UsageError(
                f"{given} is the folder of a project, not its workspace",
                hint=f"Write --workspace {given / FOLDER}",
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


def _acquired(lock: BaseFileLock, wait_s: float) -> bool:
    from filelock import Timeout

    try:
        lock.acquire(timeout=-1 if math.isinf(wait_s) else wait_s, poll_interval=0.2)
    except Timeout:
        return False
    return True


def _command() -> str:
    """What this process was started with, for whoever wonders what holds the workspace."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200]


def _holder(path: Path) -> str:
    try:
        content = json.loads(path.read_bytes())
        where = "" if content["host"] == platform.node() else f" on {content['host']}"
        return f": process {content['pid']}{where}, since {content['since']} ({content['command']})"
    except (OSError, ValueError, KeyError):
        return ""
