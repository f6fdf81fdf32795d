"""Keeps the best and the last state of a fit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from lifecycle.core.errors import UsageError, suggest
from lifecycle.train.callbacks.base import Callback

if TYPE_CHECKING:
    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer


class ModelCheckpoint(Callback):
    """Writes ``best.ckpt`` when the monitored metric improves, and ``last.ckpt`` at the end of every epoch.

    It is the last to act in an epoch, so the metric is never that of an epoch before.

    Args:
        dirpath: Where to write; by default ``checkpoints`` below the trainer's root folder.
        monitor: The metric to choose by; None has every epoch replace the one before.
        mode: Whether more (``max``) or less (``min``) of it is better.
        save_last: Write ``last.ckpt``, which ``ckpt_path="last"`` resumes from.
    """

    saves: ClassVar[bool] = True

    def __init__(
        self,
        dirpath: str | Path | None = None,
        *,
        monitor: str | None = None,
        mode: Literal["min", "max"] = "min",
        save_last: bool = True,
    ) -> None:
        if mode not in ("min", "max"):
            raise ValueError(f"ModelCheckpoint(mode={mode!r}): allowed: min, max")
        self.dirpath = Path(dirpath) if dirpath is not None else None
        self.monitor = monitor
        self.mode = mode
        self.save_last = save_last
        self.best_model_path = ""
        self.best_model_score: float | None = None
        self.last_model_path = ""

    @property
    def state_key(self) -> str:
        """Distinguishes checkpoints by what they monitor."""
        return f"ModelCheckpoint(monitor={self.monitor!r}, mode={self.mode!r})"

    def state_dict(self) -> dict[str, object]:
        """Best score and paths."""
        return {
            "best_model_path": self.best_model_path,
            "best_model_score": self.best_model_score,
            "last_model_path": self.last_model_path,
        }

    def load_state_dict(self, state_dict: Mapping[str, object]) -> None:
        """Go on comparing with the best so far."""
        score = state_dict["best_model_score"]
        self.best_model_score = float(score) if isinstance(score, int | float) else None
        self.best_model_path = str(state_dict["best_model_path"])
        self.last_model_path = str(state_dict["last_model_path"])

    def setup(self, trainer: Trainer, pl_module: Module, stage: str) -> None:
        """Settle where to write."""
        if self.dirpath is None:
            self.dirpath = trainer.default_root_dir / "checkpoints"

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Module) -> None:
        """Write what this epoch deserves."""
        assert self.dirpath is not None
        if self._improved(trainer):
            self.best_model_path = str(self.dirpath / "best.ckpt")
            trainer.save_checkpoint(self.best_model_path)
        if self.save_last:
            self.last_model_path = str(self.dirpath / "last.ckpt")
            trainer.save_checkpoint(self.last_model_path)

    def newest(self) -> Path | None:
        """The file that a resumed fit goes on from, if there is one."""
        path = self.dirpath / "last.ckpt" if self.dirpath is not None else None
        return path if path is not None and path.is_file() else None

    def _improved(self, trainer: Trainer) -> bool:
        if self.monitor is None:
            return True
        if self.monitor not in trainer.callback_metrics:
            if (trainer.current_epoch + 1) % trainer.check_val_every_n_epoch:
                return False  # the first validation is yet to come
            raise UsageError(
                f"ModelCheckpoint monitors '{self.monitor}', which nobody logged: "
                f"{suggest(self.monitor, trainer.callback_metrics)}"
            )
        score = float(trainer.callback_metrics[self.monitor])
        best = self.best_model_score
        better = best is None or (score > best if self.mode == "max" else score < best)
        better = better or (math.isnan(best or 0.0) and not math.isnan(score))
        if better:
            self.best_model_score = score
        return better
