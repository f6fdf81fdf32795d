"""What callbacks, modules and users may ask a trainer: Lightning's public properties."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.optim import Optimizer

from lifecycle.train.checkpoint import Progress
from lifecycle.train.hooks import overrides
from lifecycle.train.overridable import Overridable
from lifecycle.train.plan import Plan
from lifecycle.train.trainer_state import AtWork

if TYPE_CHECKING:
    from lifecycle.train.callbacks.base import Callback
    from lifecycle.train.data import DataModule
    from lifecycle.train.module import Module
    from lifecycle.train.optim import Schedule
    from lifecycle.train.profilers import Profiler
    from lifecycle.train.sources import Sources


class TrainerView(AtWork):
    """The trainer as seen from outside; `lifecycle.Trainer` acts.

    Attributes:
        callbacks: Whose hooks run, in order; those that save come last.
        datamodule: Of the verb at work, or the last.
        profiler: Times hooks and steps, or does nothing.
        timing: The same, None when nothing is timed.
        fit_loop: The plan of a fit; its ``max_epochs`` may be changed.
        interrupts: Knows which signal came.
    """

    callbacks: list[Callback]
    loggers: list[Any]
    datamodule: DataModule | None
    profiler: Profiler
    timing: Profiler | None
    fit_loop: Plan
    _progress: Progress
    _sources: Sources | None
    _module: Module | None
    _num_batches: dict[str, list[int | float]]
    _root: Path

    # Where a fit is

    @property
    def current_epoch(self) -> int:
        """The epoch at work, from 0."""
        return self._progress.state.epoch

    @property
    def global_step(self) -> int:
        """Optimizer steps so far, of all optimizers together."""
        return self._progress.state.global_step

    @property
    def batch_step(self) -> int:
        """Batches so far that ended in an optimizer step: the step that loggers are given."""
        return self._progress.state.stepped

    @property
    def is_last_batch(self) -> bool:
        """Whether the batch at work, or that was trained on last, ends the epoch."""
        return self._progress.state.ending

    @property
    def should_stop(self) -> bool:
        """Set it to end training after the batch at work, once the least number of epochs is done."""
        return self._progress.state.should_stop

    @should_stop.setter
    def should_stop(self, value: bool) -> None:
        self._progress.state.should_stop = value

    @property
    def enable_validation(self) -> bool:
        """Whether a fit validates: the module has a `validation_step`, and there is data for it."""
        if self._module is None or self._sources is None or self.limit_val_batches == 0:
            return False
        return overrides(self._module, "validation_step", Overridable) and self._sources.has("val")

    # Limits

    @property
    def max_epochs(self) -> int:
        """Epochs of a fit, -1 for no end."""
        return -1 if self.fit_loop.max_epochs is None else self.fit_loop.max_epochs

    @property
    def min_epochs(self) -> int:
        """Epochs before anybody may stop the fit early."""
        return self.fit_loop.min_epochs

    @property
    def max_steps(self) -> int:
        """Optimizer steps of a fit, -1 for no end."""
        return self.fit_loop.max_steps

    @property
    def min_steps(self) -> int | None:
        """Steps before anybody may stop the fit early, if any."""
        return self.fit_loop.min_steps

    @property
    def accumulate_grad_batches(self) -> int:
        """Batches for each optimizer step; may be changed between windows."""
        return self.fit_loop.accumulate

    @accumulate_grad_batches.setter
    def accumulate_grad_batches(self, value: int) -> None:
        self.fit_loop.accumulate = value

    @property
    def log_every_n_steps(self) -> int:
        """How often values of steps go to loggers."""
        return self.fit_loop.log_every_n_steps

    @property
    def check_val_every_n_epoch(self) -> int | None:
        """Validate in every n-th epoch."""
        return self.fit_loop.every_n_epochs

    @property
    def num_training_batches(self) -> int | float:
        """Batches of an epoch; infinite when it is not known, or not yet."""
        return sum(self._num_batches.get("train", [float("inf")]))

    @property
    def val_check_batch(self) -> int | float | None:
        """After how many batches a fit validates; None when it is not known yet."""
        count = self.num_training_batches
        return self.fit_loop.every_n_batches or (count if "train" in self._num_batches else None)

    @property
    def num_val_batches(self) -> list[int | float]:
        """Batches of each validation loader."""
        return self._num_batches.get("val", [])

    @property
    def num_sanity_val_batches(self) -> list[int | float]:
        """Batches of each validation loader in the short validation before a fit."""
        return [min(self.num_sanity_val_steps, count) for count in self.num_val_batches]

    num_sanity_val_steps: int | float
    limit_val_batches: int | float

    @property
    def num_test_batches(self) -> list[int | float]:
        """Batches of each test loader."""
        return self._num_batches.get("test", [])

    @property
    def num_predict_batches(self) -> list[int | float]:
        """Batches of each loader to predict."""
        return self._num_batches.get("predict", [])

    # What was logged

    @property
    def callback_metrics(self) -> Mapping[str, Tensor]:
        """Everything logged, by name."""
        return self._progress.results.callback

    @property
    def progress_bar_metrics(self) -> Mapping[str, Tensor]:
        """What was logged for the progress bar."""
        return self._progress.results.bar

    @property
    def logged_metrics(self) -> Mapping[str, Tensor]:
        """What was logged for loggers."""
        return self._progress.results.logged

    @property
    def logger(self) -> Any:
        """The first logger, or None."""
        return self.loggers[0] if self.loggers else None

    @logger.setter
    def logger(self, value: Any) -> None:
        self.loggers = [] if value is None else [value]

    @property
    def log_dir(self) -> str | None:
        """The folder of the first logger; this trainer's root folder without one."""
        if not self.loggers:
            return str(self._root)
        found = getattr(self.logger, "log_dir", None) or getattr(self.logger, "save_dir", None)
        return None if found is None else str(found)

    @property
    def default_root_dir(self) -> str:
        """Where files go that have no other place."""
        return str(self._root)

    # Who takes part

    @property
    def lightning_module(self) -> Module | None:
        """The module at work, or the last that was."""
        return self._module

    @property
    def model(self) -> Module | None:
        """The module at work, or the last that was."""
        return self._module

    @property
    def optimizers(self) -> list[Optimizer]:
        """The optimizers of the fit."""
        return list(self._progress.optimization.optimizers)

    @property
    def lr_scheduler_configs(self) -> list[Schedule]:
        """The learning rate schedulers of the fit, and when they step."""
        return list(self._progress.optimization.schedules)

    def _loaders(self, split: str) -> Any:
        return self._sources.loaders.get(split) if self._sources is not None else None

    @property
    def train_dataloader(self) -> Any:
        """What is trained on."""
        return self._loaders("train")

    @property
    def val_dataloaders(self) -> Any:
        """What is validated on."""
        return self._loaders("val")

    @property
    def test_dataloaders(self) -> Any:
        """What is tested on."""
        return self._loaders("test")

    @property
    def predict_dataloaders(self) -> Any:
        """What is predicted."""
        return self._loaders("predict")

    def _callbacks_of(self, name: str) -> list[Any]:
        from lifecycle.train import callbacks

        kind = getattr(callbacks, name)
        return [callback for callback in self.callbacks if isinstance(callback, kind)]

    @property
    def checkpoint_callbacks(self) -> list[Any]:
        """Callbacks that save checkpoints."""
        return self._callbacks_of("Checkpoint")

    @property
    def checkpoint_callback(self) -> Any:
        """The first of them, or None."""
        return next(iter(self.checkpoint_callbacks), None)

    @property
    def early_stopping_callbacks(self) -> list[Any]:
        """Callbacks that end a fit early."""
        return self._callbacks_of("EarlyStopping")

    @property
    def early_stopping_callback(self) -> Any:
        """The first of them, or None."""
        return next(iter(self.early_stopping_callbacks), None)

    @property
    def progress_bar_callback(self) -> Any:
        """The progress bar, or None."""
        return next(iter(self._callbacks_of("ProgressBar")), None)
