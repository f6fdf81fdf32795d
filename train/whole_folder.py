"""Folders that are there whole or not at all, as `lifecycle.train.whole_file` has it for files.

A folder is filled under another name beside its own (``.last.ckpt.4711.part``), and then takes its name in
one go, also where another folder bears that.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
from contextlib import suppress
from pathlib import Path

from lifecycle.core.canonical import sync
from lifecycle.train.whole_file import duplicate, is_folder_of_ours, part_of, remove

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # linux/fs.h


class WholeFolder:
    """A folder that is filled aside by one process or several; one of them makes and keeps it.

    Args:
        path: The name that it will bear.

    Attributes:
        aside: The name that it has until then.

    Raises:
        BlockingIOError: somebody else is at work on it.
        OSError: it cannot be made, or a folder of this name holds something else than a checkpoint.
    """

    def __init__(self, path: Path) -> None:
        if path.is_dir() and not is_folder_of_ours(path) and any(path.iterdir()):
            raise FileExistsError(f"{path} is a folder that holds something else than a checkpoint")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.aside = part_of(path)
        remove(self.aside)
        self.aside.mkdir()
        self._handle = os.open(self.aside, os.O_RDONLY)
        with suppress(OSError):  # a file system without locks
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def keep(self) -> None:
        """Let it take its name, in the place of what bears that."""
        sync(self.aside)
        _take_place(self.aside, self.path)
        os.close(self._handle)
        sync(self.path.parent)

    def discard(self) -> None:
        """Leave nothing behind."""
        os.close(self._handle)
        shutil.rmtree(self.aside, ignore_errors=True)


def duplicate_folder(path: Path, other: Path) -> None:
    """Give the files of a folder a second name each, in a folder that takes the place of `other`."""
    folder = WholeFolder(other)
    try:
        for file in path.iterdir():
            duplicate(file, folder.aside / file.name)
        folder.keep()
    except BaseException:
        folder.discard()
        raise


def _take_place(aside: Path, path: Path) -> None:
    """Rename a folder; where another one has the name, the two are exchanged, and the other one is deleted.

    Linux exchanges two names in one go (renameat2(2)). Where that cannot be, the older folder is set aside
    first, and a kill between the two leaves no folder of this name.
    """
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        aside.rename(path)
        return
    if _exchanged(aside, path):
        shutil.rmtree(aside)
        return
    older = part_of(path.with_name(f"older-{path.name}"))
    path.rename(older)
    aside.rename(path)
    shutil.rmtree(older)


def _exchanged(one: Path, other: Path) -> bool:
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return False
    names = os.fsencode(one), os.fsencode(other)
    return int(call(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE)) == 0
