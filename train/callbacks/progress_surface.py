"""What a progress bar says and asks, under Lightning's names, however it draws."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lifecycle.train.callbacks.base import Callback

if TYPE_CHECKING:
    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer


class ProgressSurface(Callback):
    """Descriptions, totals and metrics of a progress bar; subclasses may override each."""

    def __init__(self) -> None:
        self._trainer: Trainer | None = None
        self._current_eval_dataloader_idx: int | None = None
        self._warned = False

    @property
    def trainer(self) -> Trainer:
        """The trainer at work."""
        if self._trainer is None:
            raise TypeError(f"{type(self).__name__} belongs to no trainer before its setup")
        return self._trainer

    @property
    def sanity_check_description(self) -> str:
        """What the short validation before a fit is called."""
        return "Sanity Checking"

    @property
    def train_description(self) -> str:
        """What training is called before its first epoch."""
        return "Training"

    @property
    def validation_description(self) -> str:
        """What validation is called."""
        return "Validation"

    @property
    def test_description(self) -> str:
        """What the test is called."""
        return "Testing"

    @property
    def predict_description(self) -> str:
        """What prediction is called."""
        return "Predicting"

    @property
    def total_train_batches(self) -> int | float:
        """Batches of this epoch; infinite when that is not known."""
        trainer = self.trainer
        if trainer.max_epochs == -1 and trainer.max_steps > 0:
            return min(trainer.num_training_batches, trainer.max_steps - trainer.global_step)
        return trainer.num_training_batches

    @property
    def total_val_batches_current_dataloader(self) -> int | float:
        """Batches of the validation loader at work."""
        trainer = self.trainer
        return self._of_loader(
            trainer.num_sanity_val_batches if trainer.sanity_checking else trainer.num_val_batches
        )

    @property
    def total_test_batches_current_dataloader(self) -> int | float:
        """Batches of the test loader at work."""
        return self._of_loader(self.trainer.num_test_batches)

    @property
    def total_predict_batches_current_dataloader(self) -> int | float:
        """Batches of the loader to predict at work."""
        return self._of_loader(self.trainer.num_predict_batches)

    @property
    def total_val_batches(self) -> int | float:
        """Batches of all validation loaders; 0 in an epoch without validation."""
        every = self.trainer.check_val_every_n_epoch
        if every is not None and (self.trainer.current_epoch + 1) % every:
            return 0
        return sum(self.trainer.num_val_batches)

    def has_dataloader_changed(self, dataloader_idx: int) -> bool:
        """Whether this is another loader than at the last call."""
        before, self._current_eval_dataloader_idx = self._current_eval_dataloader_idx, dataloader_idx
        return before != dataloader_idx

    def reset_dataloader_idx_tracker(self) -> None:
        """Forget which loader was at work."""
        self._current_eval_dataloader_idx = None

    def get_metrics(self, trainer: Trainer, pl_module: Module) -> dict[str, Any]:
        """What stands beside the bar of training, by name; override it to show something else.

        By default what was logged with ``prog_bar=True``, and as ``v_num`` the version of the loggers'
        experiment. Leave tensors as they are: those of a GPU are read when they have arrived from there.
        """
        standard, logged = standard_metrics(trainer.loggers), dict(trainer.progress_bar_metrics)
        twice = sorted(standard.keys() & logged.keys())
        if twice and not self._warned:
            self._warned = True
            warnings.warn(
                f"the progress bar shows the {', '.join(twice)} that was logged in place of its own: log it "
                "under another name, or override get_metrics()",
                stacklevel=2,
            )
        return {**standard, **logged}

    def _of_loader(self, counts: Sequence[int | float]) -> int | float:
        index = self._current_eval_dataloader_idx or 0
        return counts[index] if index < len(counts) else float("inf")


def standard_metrics(loggers: Sequence[object]) -> dict[str, int | str]:
    """The version of the loggers' experiment as ``v_num``: of text the last four letters."""
    versions = [
        version for logger in loggers if (version := getattr(logger, "version", None)) not in (None, "")
    ]
    if not versions:
        return {}
    version = versions[0] if len(versions) == 1 else "_".join(dict.fromkeys(map(str, versions)))
    return {"v_num": version if isinstance(version, int) else str(version)[-4:]}
