"""Which checkpoints are kept: the best of a fit by a metric, or the newest."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lifecycle.core.canonical import write_whole
from lifecycle.train.callbacks.checkpoint import Checkpoint
from lifecycle.train.callbacks.checkpoint_folder import moved

if TYPE_CHECKING:
    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer

_UNDONE = (  # when a file could not be written
    "best_k_models",
    "best_model_path",
    "best_model_score",
    "current_score",
    "kth_best_model_path",
    "kth_value",
    "last_model_path",
    "_newest",
    "_saved_at",
)


class CheckpointRanks(Checkpoint):
    """The best files of a fit and what they scored, kept in every checkpoint.

    The arguments are those of `ModelCheckpoint`.
    """

    def __init__(self, *, monitor: str | None, mode: str, save_top_k: int) -> None:
        self.monitor = monitor
        self.mode = mode
        self.save_top_k = save_top_k
        self.best_k_models: dict[str, Tensor] = {}
        self.best_model_score: Tensor | None = None
        self.kth_best_model_path = ""
        self.kth_value = torch.tensor(torch.inf if mode == "min" else -torch.inf)
        self.current_score: Tensor | None = None
        self.last_model_path = ""
        self._newest = ""  # the file that was saved last in this fit
        self._saved_at = 0  # optimizer step of that; without any there is nothing to save
        self._resumed_from: Path | None = None

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        """Whether a score is among the best."""
        if current is None:
            return False
        if self.save_top_k == -1 or len(self.best_k_models) < self.save_top_k:
            return True
        return self._better(current, self.best_k_models[self.kth_best_model_path])

    def _better(self, score: Tensor, than: Tensor) -> bool:
        return bool(score < than if self.mode == "min" else score > than)

    def to_yaml(self, filepath: str | Path | None = None) -> None:
        """Write the paths of the best files with their scores, to ``best_k_models.yaml`` beside them."""
        import yaml

        path = Path(self.dirpath or "", "best_k_models.yaml") if filepath is None else Path(filepath)
        scores = {name: score.item() for name, score in self.best_k_models.items()}
        write_whole(path, yaml.safe_dump(scores).encode())

    def _standing(self) -> dict[str, Any]:
        """What holds again if the next file cannot be written."""
        return {name: copy.copy(getattr(self, name)) for name in _UNDONE}

    def state_dict(self) -> dict[str, object]:
        """Paths and scores."""
        return {
            "monitor": self.monitor,
            "best_model_score": self.best_model_score,
            "best_model_path": self.best_model_path,
            "current_score": self.current_score,
            "dirpath": self.dirpath,
            "best_k_models": dict(self.best_k_models),
            "kth_best_model_path": self.kth_best_model_path,
            "kth_value": self.kth_value,
            "last_model_path": self.last_model_path,
        }

    def on_load_checkpoint(self, trainer: Trainer, pl_module: Module, checkpoint: dict[str, object]) -> None:
        """Learn which file the fit is resumed from."""
        self._resumed_from = None if trainer.ckpt_path is None else Path(trainer.ckpt_path).resolve()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on ranking with the files that there are.

        They count if they are in the folder that is now saved to, also when that was moved meanwhile and the
        fit is resumed from a file in it; otherwise only `best_model_path` is taken over, with a warning.
        """
        folder = self.dirpath or ""
        before = state_dict.get("dirpath") or folder
        here = self._resumed_from is not None and Path(folder).resolve() in self._resumed_from.parents
        if before != folder and not here:
            self.best_model_path = state_dict["best_model_path"]
            warnings.warn(
                f"the checkpoint's ModelCheckpoint saved to {before!r}, this one saves to {folder!r}: "
                "it ranks anew, and leaves the files there alone",
                stacklevel=2,
            )
            return

        def now(path: str) -> str:
            return moved(path, before, folder)

        self.best_model_path = now(state_dict["best_model_path"])
        self.best_model_score = state_dict["best_model_score"]
        self.best_k_models = {
            now(path): score for path, score in state_dict.get("best_k_models", self.best_k_models).items()
        }
        self.kth_best_model_path = now(state_dict.get("kth_best_model_path", self.kth_best_model_path))
        self.kth_value = state_dict.get("kth_value", self.kth_value)
        self.current_score = state_dict.get("current_score", self.current_score)
        self.last_model_path = now(state_dict.get("last_model_path", self.last_model_path))
