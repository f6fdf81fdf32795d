"""What a trainer does for modules and callbacks while a verb is at work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import Tensor

from lifecycle.core.errors import UsageError
from lifecycle.train.hparams import merged
from lifecycle.train.trainer_options import TrainerOptions

if TYPE_CHECKING:
    from lifecycle.train.callbacks.base import Callback
    from lifecycle.train.module import Module


class TrainerServices(TrainerOptions):
    """The part of a trainer that modules, callbacks and the fit at work call."""

    # What is at work

    @contextmanager
    def doing(self, stage: str) -> Iterator[None]:
        """Say what is at work for a while: a verb, ``validation`` or ``sanity_check``."""
        before, self._stage = self._stage, stage
        try:
            yield
        finally:
            self._stage = before

    def note_batches(self, split: str, counts: list[int | float]) -> None:
        """Remember how many batches each loader of a split has."""
        self._num_batches[split] = counts

    @property
    def estimated_stepping_batches(self) -> int | float:
        """Optimizer steps that the whole fit will take; infinite when nothing ends it."""
        if self._fitting is not None:
            self._fitting.training_feed()
        plan = self.fit_loop
        most = float("inf") if plan.max_steps == -1 else plan.max_steps
        if plan.max_epochs is None or plan.num_batches is None:
            return most
        return min(-(-plan.num_batches // plan.accumulate) * max(plan.max_epochs, 1), most)

    def optimizers_for_module(self, *, wrapped: bool) -> list[Any]:
        """The optimizers as a module steps them, or as they are."""
        if wrapped and self._fitting is not None:
            return list(self._fitting.wrapped)
        return self.optimizers

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Gradients of a loss in manual optimization, with the hooks around."""
        if self._fitting is None:
            raise UsageError("manual_backward works during a fit")
        self._fitting.backward(loss, *args, **kwargs)

    # To loggers and the screen

    def report_hyperparameters(self, module: Module) -> None:
        """Send what the module and its data were made with to the loggers."""
        if not self.enable_autolog_hparams or not self.loggers:
            return
        owners = [owner for owner in (module, self.datamodule) if owner is not None]
        if wanted := [owner.hparams_initial for owner in owners if owner._log_hyperparams]:
            self._delivery.hyperparameters(merged(*wanted))
        self._delivery.graph(module)

    def finish(self, status: str) -> None:
        """End a verb: wait for what is being written, and for the loggers."""
        try:
            self.writer.wait()
        finally:
            self._delivery.finalize(status)

    def log_metrics(self, metrics: Mapping[str, Tensor | float], step: int | None = None) -> None:
        """Send numbers to all loggers; one that fails does not end the fit.

        Args:
            metrics: Numbers by name.
            step: By default that of the batch at work.
        """
        self._delivery.metrics(metrics, self.batch_step if step is None else step)

    def after_save_checkpoint(self, callback: Callback) -> None:
        """Tell the loggers of a checkpoint that is whole."""
        self._delivery.after_save_checkpoint(callback)

    def print(self, *args: object, **options: Any) -> None:
        """Print a line above the progress bar, in the first process alone."""
        if not self.is_global_zero:
            return
        bar = self.progress_bar_callback
        if bar is None:
            print(*args, **options)
        else:
            bar.print(*args, **options)

    @contextmanager
    def init_module(self, empty_init: bool | None = None) -> Iterator[None]:
        """Make modules on the device and in the types of this trainer."""
        with self.device, self.precision_plugin.init_context():
            yield
