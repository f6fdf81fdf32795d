"""When checkpoints are saved: at the end of epochs, after validations, after so many steps or minutes."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from lifecycle.core.errors import UsageError, suggest
from lifecycle.train.callbacks.checkpoint import Checkpoint
from lifecycle.train.callbacks.checkpoint_files import CheckpointFiles
from lifecycle.train.callbacks.checkpoint_folder import checkpoint_folders, default_folder
from lifecycle.train.callbacks.checkpoint_metrics import monitored, named_values
from lifecycle.train.callbacks.checkpoint_options import check_options
from lifecycle.train.callbacks.newest_checkpoint import newest_checkpoint

if TYPE_CHECKING:
    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer

__all__ = ["Checkpoint", "ModelCheckpoint", "checkpoint_folders", "newest_checkpoint"]

_log = logging.getLogger(__name__)


class ModelCheckpoint(CheckpointFiles):
    """Saves the state of a fit, and keeps the best files by a metric, the newest, or all.

    Saving is the last act of a step, and a file is ranked by a metric of its own weights: where that was not
    measured since they changed, saving waits until it is. (With ``save_top_k=-1``, where all are kept, an
    older value will do.)

    Args:
        dirpath: The folder; by default ``checkpoints`` in that of the first logger's run, or in the
            trainer's root folder.
        filename: A template of the name, ``{epoch}-{step}`` by default, which may hold names of metrics.
        monitor: The metric to rank by; None keeps the newest.
        verbose: Log what is saved and what is not.
        save_last: Keep ``last.ckpt`` besides, the state of the newest epoch (or validation, step, time) and
            of the end of the fit, whether it is among the best or not; ``"link"`` makes it a symbolic link
            to the newest of the other files.
        save_top_k: How many files to keep; -1 for all, 0 for none.
        save_on_exception: Save when something is raised.
        save_weights_only: Leave out what only a resumed fit needs.
        mode: Whether less (``min``) or more (``max``) of the metric is better.
        auto_insert_metric_name: Put a metric's name before its value in file names.
        every_n_train_steps: Save every so many optimizer steps.
        train_time_interval: Save after so much time.
        every_n_epochs: Save every so many epochs; 1 if neither of the other two is given. ``last.ckpt`` is
            kept in every epoch all the same.
        save_on_train_epoch_end: Save at the end of epochs (True) or after validations (False); None decides
            by when validations are: at the end of every epoch or never, or otherwise.
        enable_version_counter: Append ``-v1``, ``-v2``, … to a name that a file bears already.

    Attributes:
        best_model_score: What the best file scored.
        best_k_models: What the files that are kept scored, by path.
        kth_best_model_path: The worst of them.
        kth_value: What it scored.
        current_score: What the file that was ranked last scored.
        last_model_path: Where ``last.ckpt`` is.

    Raises:
        UsageError: an argument is not what it may be; says what is.
    """

    def __init__(
        self,
        dirpath: str | Path | None = None,
        filename: str | None = None,
        monitor: str | None = None,
        verbose: bool = False,
        save_last: bool | Literal["link"] | None = None,
        save_top_k: int = 1,
        save_on_exception: bool = False,
        save_weights_only: bool = False,
        mode: str = "min",
        auto_insert_metric_name: bool = True,
        every_n_train_steps: int | None = None,
        train_time_interval: timedelta | None = None,
        every_n_epochs: int | None = None,
        save_on_train_epoch_end: bool | None = None,
        enable_version_counter: bool = True,
    ) -> None:
        super().__init__(
            filename=filename,
            monitor=monitor,
            mode=mode,
            save_top_k=save_top_k,
            save_last=save_last,
            save_weights_only=save_weights_only,
            auto_insert_metric_name=auto_insert_metric_name,
            enable_version_counter=enable_version_counter,
            verbose=verbose,
        )
        self.dirpath = None if dirpath is None else os.path.realpath(os.path.expanduser(dirpath))
        self.save_on_exception = save_on_exception
        epochs_alone = every_n_train_steps is None and train_time_interval is None
        self._every_n_train_steps = every_n_train_steps or 0
        self._train_time_interval = train_time_interval
        self._every_n_epochs = 1 if epochs_alone and every_n_epochs is None else every_n_epochs or 0
        self._save_on_train_epoch_end = save_on_train_epoch_end
        check_options(
            dirpath=dirpath,
            monitor=monitor,
            save_last=save_last,
            save_top_k=save_top_k,
            mode=mode,
            every_n_train_steps=self._every_n_train_steps,
            train_time_interval=train_time_interval,
            every_n_epochs=self._every_n_epochs,
        )
        self._started_at = 0  # optimizer step
        self._checked_at_s = 0.0
        self._waits = False  # a save was due, and its metric is not there yet
        self._measured: tuple[Tensor | None, int] = (None, -1)  # the metric, and its optimizer step
        self._has_validated = False

    @property
    def every_n_epochs(self) -> int:
        """How many epochs there are from one save to the next; 0 where it is not epochs that count."""
        return self._every_n_epochs

    @property
    def state_key(self) -> str:
        """Tells ModelCheckpoints apart by what they monitor and when they save."""
        return self._generate_state_key(
            monitor=self.monitor,
            mode=self.mode,
            every_n_train_steps=self._every_n_train_steps,
            every_n_epochs=self._every_n_epochs,
            train_time_interval=self._train_time_interval,
        )

    def state_dict(self) -> dict[str, object]:
        """Paths and scores, and whether a save waits for its metric."""
        return super().state_dict() | {"waits": self._waits}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where the checkpoint was made."""
        super().load_state_dict(state_dict)
        self._waits = state_dict.get("waits", False)

    # What the trainer calls

    def setup(self, trainer: Trainer, pl_module: Module, stage: str) -> None:
        """Settle where to save."""
        if self.dirpath is None:
            # The first process alone asks its logger, which may begin a run to answer.
            own = str(default_folder(trainer)) if trainer.is_global_zero else ""
            self.dirpath = trainer.strategy.broadcast(own)

    def on_train_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Begin to count."""
        self._checked_at_s = time.monotonic()
        self._started_at = trainer.global_step
        self._newest, self._saved_at = "", 0
        self._has_validated = False
        # What a checkpoint brought back was measured before.
        self._measured = (monitored(trainer, self.monitor), -1)

    def save_if_due(
        self, trainer: Trainer, pl_module: Module, *, stepped: bool, validated: bool, epoch_ended: bool
    ) -> None:
        """Save what this step deserves."""
        if self._in_flight is not None:
            self._see_to_landed(trainer)
        triggered = stepped and self._triggers(trainer)
        if (triggered or validated or epoch_ended) and not trainer.fast_dev_run:
            with self._decided_by_first(trainer) as first:
                if first:
                    self._act(trainer, triggered=triggered, validated=validated, epoch_ended=epoch_ended)

    def on_train_end(self, trainer: Trainer, pl_module: Module) -> None:
        """Save what is not saved yet: ``last.ckpt``; and what waits for its metric if there is no best."""
        if trainer.fast_dev_run or trainer.global_step == self._started_at:
            return
        with self._decided_by_first(trainer) as first:
            if first:
                self._end(trainer)

    def _end(self, trainer: Trainer) -> None:
        self._wait(trainer)
        before, path, value = self._standing(), "", monitored(trainer, self.monitor)
        if self._waits and not self.best_k_models:
            if value is None:
                warnings.warn(
                    f"ModelCheckpoint found no best: '{self.monitor}', which it monitors, was not logged "
                    f"in time: {suggest(str(self.monitor), trainer.callback_metrics)}",
                    stacklevel=2,
                )
            else:
                path, _ = self._chosen(trainer, value)
        new = self._saved_at != trainer.global_step and (self.save_last != "link" or self.save_top_k == 0)
        if path or (self.save_last and (new or not self._newest)):
            self._write(trainer, named_values(trainer), path, last=bool(self.save_last), before=before)

    def teardown(self, trainer: Trainer, pl_module: Module, stage: str) -> None:
        """See the last file land."""
        self._wait(trainer)

    def on_exception(self, trainer: Trainer, pl_module: Module, exception: BaseException) -> None:
        """See the last file land, and save if that is wanted; what fails here is added to the exception."""
        try:
            self._wait(trainer)
            new = trainer.training and self._saved_at != trainer.global_step
            if self.save_on_exception and new and not trainer.fast_dev_run:
                metrics = named_values(trainer)
                # Never over another file: this state was not ranked.
                path = self._new_path(trainer, metrics, count=True)
                self._write(trainer, metrics, path, last=bool(self.save_last))
                self._wait(trainer)
                _log.info("saved %s, since %s was raised", path, type(exception).__name__)
        except Exception as error:
            _log.exception("ModelCheckpoint could not save")
            exception.add_note(f"ModelCheckpoint could not save: {error}")

    # What is due, and what is saved

    def _triggers(self, trainer: Trainer) -> bool:
        """Whether enough steps or enough time went by."""
        if self._every_n_train_steps:
            return trainer.global_step % self._every_n_train_steps == 0
        if self._train_time_interval is None:
            return False
        now_s = time.monotonic()
        due = now_s - self._checked_at_s >= self._train_time_interval.total_seconds()
        if not trainer.strategy.broadcast(due):
            return False
        self._checked_at_s = now_s
        return True

    def _act(self, trainer: Trainer, *, triggered: bool, validated: bool, epoch_ended: bool) -> None:
        at_end = self._at_epoch_end(trainer)
        step, value = trainer.global_step, monitored(trainer, self.monitor, of_step=triggered or not at_end)
        self._has_validated |= validated
        if value is not self._measured[0]:
            self._measured = (value, step)
        # Within an epoch only a limit or a request to stop ends it, and the fit with it.
        ending = epoch_ended and not trainer.is_last_batch
        regular = epoch_ended if at_end else validated
        counts = self._every_n_epochs > 0 and (trainer.current_epoch + 1) % self._every_n_epochs == 0
        new = self._saved_at != step
        due = self._waits or (new and (triggered or (regular and counts)))
        last_due = bool(self.save_last) and new and (triggered or regular)
        if not (due or last_due):
            return
        self._wait(trainer)  # what became of the file before counts
        before, path, removes = self._standing(), "", list[Path]()
        if due and self.save_top_k != 0 and self._can_rank(trainer, value, epoch_ended, ending):
            path, removes = self._chosen(trainer, value)
        # A link leads to the newest file already, or waits for the first.
        if path or (last_due and (self.save_last != "link" or self.save_top_k == 0)):
            metrics = named_values(trainer)
            self._write(trainer, metrics, path, removes, last=bool(self.save_last), before=before)

    def _at_epoch_end(self, trainer: Trainer) -> bool:
        """Whether it is the end of an epoch that counts, not that of a validation."""
        if self._save_on_train_epoch_end is not None:
            return self._save_on_train_epoch_end
        plan = trainer.fit_loop
        at_end = plan.every_s is None and plan.every_n_epochs == 1 and trainer.val_check_interval == 1.0
        return at_end or not plan.validates

    def _can_rank(self, trainer: Trainer, value: Tensor | None, epoch_ended: bool, ending: bool) -> bool:
        """Whether there is a metric of these weights; otherwise saving waits for it.

        Raises:
            UsageError: a validation did not log it.
        """
        if self.monitor is None:
            return True
        if value is None and epoch_ended and (self._has_validated or not trainer.fit_loop.validates):
            message = (
                f"ModelCheckpoint monitors '{self.monitor}', which nobody logged: "
                f"{suggest(self.monitor, trainer.callback_metrics)}"
            )
            if self._has_validated:
                raise UsageError(message)
            if not self._waits:  # the first time; a fit that leaves validation out for once is no error
                warnings.warn(f"{message}. Nothing validates in this fit, and nothing is saved", stacklevel=2)
        only = ending and not self.best_k_models  # not of these weights, but better than no file
        fresh = self._measured[1] == trainer.global_step
        self._waits = value is None or not (fresh or only or self.save_top_k == -1)
        return not self._waits
