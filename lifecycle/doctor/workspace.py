"""Checks of a workspace: its lock, what killed runs left, its files, the room on its disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from lifecycle.core.artifact import open_artifact
from lifecycle.core.errors import ArtifactError, LifecycleError
from lifecycle.doctor.finding import Finding
from lifecycle.workspace import Workspace

LEAST_BYTES, FEW_BYTES = 200e6, 2e9
AREA = "workspace"


def workspace_findings(workspace: Workspace) -> Iterator[Finding]:
    """All of them."""
    yield Finding(area=AREA, what=f"{workspace.path}")
    if not os.access(workspace.path, os.W_OK):
        mend = f"chmod u+w {workspace.path}, or choose another with --workspace."
        yield Finding(area=AREA, what="it cannot be written to", state="broken", mend=mend)
    yield from room(workspace)
    yield from lock(workspace)
    yield from artifacts(workspace)


def room(workspace: Workspace) -> Iterator[Finding]:
    """Of its disk."""
    free = shutil.disk_usage(workspace.path).free
    mend = "lifecycle gc shows what can go."
    state = "broken" if free < LEAST_BYTES else "note" if free < FEW_BYTES else "ok"
    said = f"{free / 1e9:.1f} GB are free on its disk"
    yield Finding(area=AREA, what=said, state=state, mend=mend if state != "ok" else "")  # type: ignore[arg-type]


def lock(workspace: Workspace) -> Iterator[Finding]:
    """Whether somebody works there; else what killed runs left behind."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(workspace.path / "lock", timeout=0):
            held = False
    except Timeout:
        held = True
    except OSError as error:
        mend = "Locks need a file system that has them: keep the workspace on a local disk."
        yield Finding(area=AREA, what=f"it cannot be locked: {error}", state="broken", mend=mend)
        return
    if held:
        yield Finding(area=AREA, what="a run works in it", state="note")
        return
    if waiting := len(list(workspace.path.glob("tracking/*/*.jsonl"))):
        said = f"what {waiting} runs recorded waits for an MLflow that was away"
        yield Finding(area=AREA, what=said, state="note", mend="The next run delivers it.")
    drafts, work = (list(workspace.cache.glob(f"*/.*.{ending}")) for ending in ("draft", "work"))
    if drafts:
        said = f"{len(drafts)} drafts of killed runs"
        yield Finding(area=AREA, what=said, state="note", mend="The next run removes them.")
    if work:
        said = f"unfinished work of {len(work)} killed stages"
        mend = "The same command goes on with it; `lifecycle gc` removes what nobody goes on with."
        yield Finding(area=AREA, what=said, state="note", mend=mend)


def artifacts(workspace: Workspace) -> Iterator[Finding]:
    """Every result and served copy, every byte of it."""
    whole = 0
    for path in _folders(workspace):
        try:
            open_artifact(path)
            whole += 1
        except (ArtifactError, OSError) as error:
            said = error.message if isinstance(error, LifecycleError) else str(error)
            mend = "The next run that needs it makes it again; `lifecycle gc --yes` removes it."
            yield Finding(area=AREA, what=said, state="broken", mend=mend)
    yield Finding(area=AREA, what=f"{whole} artifacts are whole")


def _folders(workspace: Workspace) -> Iterator[Path]:
    for path in sorted(workspace.cache.glob("*/*")) + sorted(workspace.served.glob("*/*")):
        if path.is_dir() and not path.name.startswith(".") and not path.parent.name.startswith("."):
            yield path
