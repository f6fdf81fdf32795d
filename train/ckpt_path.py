"""Which file ``ckpt_path`` means."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.core.errors import UsageError
from lifecycle.train.callbacks.checkpoint_folder import checkpoint_folders
from lifecycle.train.callbacks.newest_checkpoint import newest_checkpoint
from lifecycle.train.strategies.world import job_started_at, restarted
from lifecycle.train.trainer_state import TrainerFn

if TYPE_CHECKING:
    from lifecycle.train.trainer import Trainer

log = logging.getLogger(__name__)


def chosen_checkpoint(ckpt_path: str | Path | None, trainer: Trainer) -> Path | None:
    """The file that a path, ``"best"`` or ``"last"`` stands for; None to go on from nothing.

    Raises:
        UsageError: no `ModelCheckpoint` of the trainer knows a best one.
    """
    if trainer.state.fn == TrainerFn.FITTING and restarted():
        folders = checkpoint_folders(trainer)
        newest = newest_checkpoint(folders, since=job_started_at())
        log.info("started anew: going on from %s", newest or "the beginning")
        if newest is not None:
            return newest
    if ckpt_path == "best":
        found = [callback.best_model_path for callback in trainer.checkpoint_callbacks]
        best = next((path for path in found if path), None)
        if best is None:
            raise UsageError(
                "ckpt_path='best': no ModelCheckpoint of this trainer has saved one yet",
                hint="Pass the path of a checkpoint, or fit first.",
            )
        return Path(best)
    if ckpt_path == "last":
        newest = newest_checkpoint(checkpoint_folders(trainer))
        if newest is None:
            log.info("ckpt_path='last': there is no checkpoint yet, so the fit starts from the beginning")
        return newest
    return None if ckpt_path is None else Path(ckpt_path)
