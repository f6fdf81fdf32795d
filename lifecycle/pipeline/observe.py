"""Which files a piece of code reads: heard from Python's own audit events."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_WRITES = os.O_WRONLY | os.O_RDWR
# What is read there is part of the machine or of an installed library, which count by version.
_NO_DATA = ("/proc", "/sys", "/dev", "/etc", "/usr/lib", "/usr/share/zoneinfo")


@dataclass
class Seen:
    """What was read.

    Attributes:
        files: That were opened for reading.
        folders: That were listed: what lies below them counts.
        network: Whether a connection to another machine was made.
    """

    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    network: bool = False


_seen: list[Seen] = []  # who listens now
_hooked: list[bool] = []


@contextmanager
def observing() -> Iterator[Seen]:
    """Note what is read within, in any thread of this process; not by loader workers, nor below Python.

    A hook of this kind cannot be taken out again: once nobody listens it returns at once.
    """
    if not _hooked:
        _hooked.append(True)
        sys.addaudithook(_hear)
    seen = Seen()
    _seen.append(seen)
    try:
        yield seen
    finally:
        _seen.remove(seen)


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if not _seen or event not in ("open", "os.listdir", "os.scandir", "socket.connect", "sqlite3.connect"):
        return
    for seen in _seen:
        if event == "socket.connect":
            seen.network |= isinstance(arguments[1], tuple)  # a socket of this machine has a name
        elif isinstance(path := arguments[0], str | bytes | os.PathLike):
            name = os.path.abspath(os.fsdecode(path))
            if event in ("os.listdir", "os.scandir"):
                seen.folders.add(name)
            elif event == "sqlite3.connect" or _is_read(arguments):
                seen.files.add(name)


def _is_read(arguments: tuple[object, ...]) -> bool:
    _, mode, flags = arguments
    if isinstance(mode, str):
        return "r" in mode
    return isinstance(flags, int) and not flags & _WRITES


def data_files(seen: Seen, root: Path) -> dict[str, str]:
    """Size and time of everything that was read and may be data, by path; below `root` by relative path.

    Python's own files and those of installed libraries are no data.
    """
    ours = str(Path(__file__).parents[1])
    prefixes = {ours, sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), *_NO_DATA}
    searched = {str(root), *map(os.path.abspath, sys.path_importer_cache)}  # for modules
    folders = {name for name in seen.folders - searched if not _below(name, prefixes)}
    stamps = {}
    for name in sorted(seen.files | folders):
        inside = name in seen.files and _below(name, folders)
        if not inside and not _below(name, prefixes) and not name.endswith((".py", ".pyc")):
            stamps[_relative(name, root)] = stamp(Path(name))
    return {name: text for name, text in stamps.items() if text}


def stamp(path: Path) -> str:
    """Size and time of a file, or of everything below a folder; empty where there is nothing."""
    try:
        about = path.stat()
        if not path.is_dir():
            return f"{about.st_size} {about.st_mtime_ns}"
        return str(sorted(_walk(path, "")))
    except OSError:
        return ""


def _walk(folder: Path, above: str) -> Iterator[tuple[str, int, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name == "__pycache__":
                continue
            name = f"{above}{entry.name}"
            if entry.is_dir():
                yield from _walk(Path(entry.path), f"{name}/")
            else:
                about = entry.stat()
                yield name, about.st_size, about.st_mtime_ns


def _below(name: str, folders: set[str]) -> bool:
    return any(name == folder or name.startswith(f"{folder}{os.sep}") for folder in folders)


def _relative(name: str, root: Path) -> str:
    path = Path(name)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else name
