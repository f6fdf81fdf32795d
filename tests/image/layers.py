"""Root folders made of layers, and processes in them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ENTER = Path(__file__).with_name("enter.py")


@dataclass(frozen=True, kw_only=True)
class Who:
    """A numeric user and group."""

    user: int = 0
    group: int = 0


def mounted(path: Path, *, kind: str, source: str, options: str = "") -> None:
    """Mount something, in the mount space of this process."""
    words = ["mount", "-t", kind, *(["-o", options] if options else []), source, str(path)]
    subprocess.run(words, check=True)


@contextmanager
def root_of(layers: Sequence[Path], changes: Path, shown: Sequence[Path] = (), *, at: Path) -> Iterator[Path]:
    """The layers, lowest first, as one folder; what is written goes into `changes`.

    `shown` are files and folders of this machine that are seen at the same paths meanwhile, read-only.
    """
    work = at.with_name(f"{at.name}-work")
    for folder in (at, work, changes):
        folder.mkdir(parents=True, exist_ok=True)
    lower = ":".join(str(layer) for layer in reversed(layers))
    mounted(
        at, kind="overlay", source="overlay", options=f"lowerdir={lower},upperdir={changes},workdir={work}"
    )
    try:
        for name in ("dev", "proc"):
            (at / name).mkdir(exist_ok=True)
        subprocess.run(["mount", "--rbind", "/dev", at / "dev"], check=True)
        for path in shown:
            _show(path, at)
        yield at
    finally:
        subprocess.run(["umount", "--recursive", "--lazy", at], check=True)


def _show(path: Path, root: Path) -> None:
    place = root / path.relative_to("/")
    if path.is_dir():
        place.mkdir(parents=True, exist_ok=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    subprocess.run(["mount", "--bind", path, place], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)


def inside(
    root: Path, command: Sequence[str], environment: Mapping[str, str], folder: str, who: Who
) -> list[str]:
    """The words that run a command in a root, alone in its process space."""
    specification = {
        "root": str(root),
        "environment": dict(environment),
        "folder": folder,
        "user": who.user,
        "group": who.group,
        "command": list(command),
    }
    space = ["unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child"]
    return [*space, sys.executable, "-I", str(ENTER), json.dumps(specification)]
