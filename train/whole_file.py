"""Files that are there whole or not at all, made in pieces: a checkpoint may be larger than what is free.

A file grows under another name in its folder (``.last.ckpt.4711.part``), is synced and then renamed.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from lifecycle.core.canonical import sync

_log = logging.getLogger(__name__)
_PART = re.compile(r"\..+\.\d+\.part")
_ABANDONED_S = 60.0
INDEX = "shards.json"  # is written last in a folder that is a checkpoint


class WholeFile:
    """A file that grows aside, and takes its name when a ``with`` over it ends well.

    It is written without a buffer of Python's, which a process that is forked meanwhile would write too.

    Args:
        path: The name that it will bear.

    Attributes:
        aside: The name that it has until then.
        error: What ended a `write`; whoever wrote may have raised another error for it.

    Raises:
        BlockingIOError: somebody else is at work on it.
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.aside = part_of(path)
        self.error: BaseException | None = None
        _clear(self.aside)
        self._handle = os.open(self.aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with suppress(OSError):  # a file system without locks
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def write(self, data: bytes | memoryview) -> int:
        """All of it: the system takes at most 2 GiB at once."""
        left = memoryview(data).cast("B")
        try:
            while left:
                left = left[os.write(self._handle, left) :]
        except BaseException as error:
            self.error = error
            raise
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def discard(self) -> None:
        """Leave nothing behind."""
        os.close(self._handle)
        self.aside.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.discard()
            return
        try:
            os.fsync(self._handle)
            _take_place(self.aside, self.path)
        except BaseException:
            self.discard()
            raise
        os.close(self._handle)
        sync(self.path.parent)


def part_of(path: Path) -> Path:
    """The name under which this process makes a file."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def duplicate(path: Path, other: Path) -> None:
    """Give a file a second name, in the place of what bears it; no writer changes a file in place."""
    aside = part_of(other)
    _clear(aside)
    try:
        aside.hardlink_to(path)
    except OSError:  # a file system that has no hard links
        with WholeFile(other) as part, path.open("rb") as file:
            shutil.copyfileobj(file, part, 1 << 20)
        return
    _take_place(aside, other)
    aside.unlink(missing_ok=True)  # where both names are one file already, replacing does nothing


def point(link: Path, target: Path) -> None:
    """Make a symbolic link in one go, in the place of a file or link that bears its name."""
    aside = part_of(link)
    _clear(aside)
    aside.symlink_to(os.path.relpath(target, link.parent))
    _take_place(aside, link)


def remove(path: Path) -> None:
    """Delete a file, a link or a folder; what is left of a folder when this is killed does not bear its name.

    Raises:
        BlockingIOError: it is a folder that somebody is filling.
        OSError: it is a folder, and no checkpoint.
    """
    if not is_folder_of_ours(path):
        path.unlink(missing_ok=True)
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:  # a file system without locks
            _log.debug("%s is deleted without a lock", path)
        aside = path if _PART.fullmatch(path.name) else part_of(path.with_name(f"removed-{path.name}"))
        if aside != path:
            path.rename(aside)
        shutil.rmtree(aside)
    finally:
        os.close(handle)


def is_folder_of_ours(path: Path) -> bool:
    """Whether a folder is a checkpoint of several processes, or a part of one: no other one is deleted."""
    ours = _PART.fullmatch(path.name) is not None or (path / INDEX).is_file()
    return ours and path.is_dir() and not path.is_symlink()


def sweep(folder: Path) -> None:
    """Delete what killed processes left unfinished: parts that nobody holds a lock on."""
    for left in folder.iterdir():
        if _PART.fullmatch(left.name):
            with suppress(OSError):  # it is gone, is locked, or cannot be locked: then it is none of ours
                # Younger ones were perhaps opened a moment ago, and are not locked yet.
                if time.time() - left.lstat().st_mtime >= _ABANDONED_S:
                    _abandon(left)


def _take_place(aside: Path, path: Path) -> None:
    """Rename; a folder that bears the name, a checkpoint of several processes, is deleted first."""
    if is_folder_of_ours(path):
        remove(path)
    aside.replace(path)


def _clear(aside: Path) -> None:
    """Delete what a killed process of our number left; it may be a link to a whole file, so is not reused.

    Raises:
        BlockingIOError: this process is at work on it.
    """
    try:
        _abandon(aside)
    except BlockingIOError:
        raise
    except OSError:
        aside.unlink(missing_ok=True)  # not there, or on a file system without locks


def _abandon(left: Path) -> None:
    """Delete a part, unless somebody holds a lock on it."""
    if left.is_symlink():
        left.unlink()
        return
    handle = os.open(left, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if left.is_dir():  # of a checkpoint of several processes
            shutil.rmtree(left)
        else:
            left.unlink()
    finally:
        os.close(handle)
