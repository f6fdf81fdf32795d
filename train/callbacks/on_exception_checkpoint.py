"""Saves what can be saved when a fit breaks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.core.errors import LifecycleError, UsageError
from lifecycle.train.callbacks.checkpoint import Checkpoint
from lifecycle.train.whole_file import remove

if TYPE_CHECKING:
    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer


class OnExceptionCheckpoint(Checkpoint):
    """Writes a checkpoint when something is raised, an interrupt included; a later success removes it.

    Args:
        dirpath: The folder to write to.
        filename: The name without ``.ckpt``.

    Raises:
        UsageError: `filename` is empty.
    """

    FILE_EXTENSION = ".ckpt"

    def __init__(self, dirpath: str | Path, filename: str = "on_exception") -> None:
        if not filename:
            raise UsageError("OnExceptionCheckpoint(filename=''): give the file a name, without .ckpt")
        self.dirpath: str = str(dirpath)
        self.filename = filename

    @property
    def ckpt_path(self) -> str:
        """The file."""
        return str(Path(self.dirpath) / f"{self.filename}{self.FILE_EXTENSION}")

    def on_exception(self, trainer: Trainer, pl_module: Module, exception: BaseException) -> None:
        """Write it, over an older one if need be."""
        try:
            trainer.save_checkpoint(self.ckpt_path)
        except LifecycleError as error:  # what has ended the fit is the error to see
            exception.add_note(f"OnExceptionCheckpoint could not save: {error}")

    def teardown(self, trainer: Trainer, pl_module: Module, stage: str) -> None:
        """All went well: nobody needs it."""
        if trainer.is_global_zero:
            remove(Path(self.ckpt_path))
