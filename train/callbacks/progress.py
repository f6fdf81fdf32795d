"""Shows how far a fit is: epoch, batches a second, time remaining, and what was logged for the bar."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lifecycle.core.progress import Progress, terminal_progress
from lifecycle.train.callbacks.base import Callback

if TYPE_CHECKING:
    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer

_EVERY_S = 0.1


class ProgressBar(Callback):
    """Redraws by the clock, not by the step, so that it neither costs nor reads values at each step.

    Args:
        progress: Where to show it; by default a bar on a terminal, lines elsewhere.
        title: What the work is called.
    """

    def __init__(self, progress: Progress | None = None, title: str = "") -> None:
        self._own = progress is None
        self._progress = progress or terminal_progress()
        self._title = title
        self._next = 0.0
        self._done = 0

    def on_train_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Count from where a resumed fit stands."""
        self._done = trainer.current_epoch * (trainer.num_training_batches or 0)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Module, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Redraw if it is time."""
        self._done += 1
        now = time.monotonic()
        if now >= self._next and batch_idx + 1 != trainer.num_training_batches:
            self._next = now + _EVERY_S
            self._show(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Module) -> None:
        """Redraw with what validation logged."""
        self._show(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: Module) -> None:
        """Take the bar down, if it is ours."""
        if self._own:
            self._progress.close()

    def on_exception(self, trainer: Trainer, pl_module: Module, exception: BaseException) -> None:
        """Leave the terminal clean."""
        self._progress.close()

    def _show(self, trainer: Trainer) -> None:
        shown = "  ".join(f"{name} {float(v):.4g}" for name, v in trainer.progress_bar_metrics.items())
        text = f"{self._title}epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {shown}"
        total = trainer.max_epochs * (trainer.num_training_batches or self._done)
        self._progress.update(text.rstrip(), self._done, total)
