"""Where checkpoints lie: when nobody says, and when their folder was moved."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.train.callbacks.checkpoint import Checkpoint
from lifecycle.train.callbacks.on_exception_checkpoint import OnExceptionCheckpoint

if TYPE_CHECKING:
    from lifecycle.train.trainer import Trainer


def default_folder(trainer: Trainer) -> Path:
    """``checkpoints`` in the folder of the first logger's run, in the trainer's root folder without one."""
    runs = runs_folder(trainer)
    if runs is None:
        return _absolute(trainer.default_root_dir) / "checkpoints"
    version = trainer.loggers[0].version
    return runs / (version if isinstance(version, str) else f"version_{version}") / "checkpoints"


def checkpoint_folders(trainer: Trainer) -> list[Path]:
    """Where the callbacks of a trainer save checkpoints, and did in the runs before this one."""
    folders = []
    for callback in trainer.callbacks:
        if isinstance(callback, Checkpoint | OnExceptionCheckpoint):
            if callback.dirpath is not None:
                folders.append(_absolute(callback.dirpath))
            else:
                folders.append(runs_folder(trainer) or default_folder(trainer))
    return folders


def runs_folder(trainer: Trainer) -> Path | None:
    """The folder of all runs of the first logger; None where there is none, or it names no runs."""
    for logger in trainer.loggers[:1]:
        name = getattr(logger, "name", None)
        if name is not None and getattr(logger, "version", None) is not None:
            return _absolute(getattr(logger, "save_dir", None) or trainer.default_root_dir) / str(name)
    return None


def moved(path: str, before: str, now: str) -> str:
    """Where a file is when its folder was moved.

    >>> moved("/a/b/epoch=1.ckpt", "/a/b", "/c")
    '/c/epoch=1.ckpt'
    >>> moved("/elsewhere/epoch=1.ckpt", "/a/b", "/c")
    '/elsewhere/epoch=1.ckpt'
    """
    inside = Path(before) in Path(path).parents
    return os.path.join(now, os.path.relpath(path, before)) if inside else path


def _absolute(folder: str | Path) -> Path:
    return Path(os.path.abspath(folder))
