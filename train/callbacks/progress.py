"""How far a fit, a validation, a test or a prediction is: what all progress bars have in common."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from lifecycle.core.progress import LineProgress, Progress
from lifecycle.train.callbacks.progress_surface import ProgressSurface
from lifecycle.train.callbacks.readings import Readings, Value

if TYPE_CHECKING:
    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer

Kind = Literal["sanity_check", "train", "validation", "test", "predict"]


class ProgressBar(ProgressSurface):
    """Redraws by the clock, not by the step, so that it neither costs nor reads values at each step.

    By itself it shows a whole fit in the `progress` that it is given, and nothing without one. To draw
    otherwise, override `draw`, `end` and `stop`; or hooks, as in Lightning, and call the parent's in them.

    Args:
        progress: Where to show a fit: its batches of all epochs. It is closed only after an exception.
        title: What the fit is called there.
    """

    every_s = 0.1  # between two redraws

    def __init__(self, progress: Progress | None = None, title: str = "") -> None:
        super().__init__()
        self._progress = progress
        self._title = title
        self._lines = False  # whether lines are printed in place of bars
        self._enabled = True
        self._each_epoch = progress is not None  # whether each epoch's end is drawn, however short it was
        self._every_n = 1  # batches between two looks at the clock
        self._next = 0.0  # when to redraw
        self._epoch = 0
        self._at = 0  # batches of the epoch
        self._before = 0  # batches of earlier epochs
        self._drawn = True  # whether the end of the last epoch is to be seen
        self._scored = 0  # batches of the loader at work
        self._stage = ""
        self._readings = Readings()

    # How it is shown

    def draw(
        self, kind: Kind, description: str, done: int, total: int | None, metrics: Mapping[str, Value]
    ) -> None:
        """Show that `done` of `total` batches are done.

        Args:
            kind: Which bar it is; ``train`` is that of an epoch.
            description: What it is called.
            done: Batches so far.
            total: Batches in all, None when that is not known.
            metrics: What `get_metrics` gave, as numbers and texts; nothing for other bars than ``train``.
        """
        if self._progress is None:
            return
        if kind == "train":
            self._draw_fit(done, metrics)
        elif self._lines and (done != total or self._stage != "fit"):
            self._progress.update(description, done, total or done + 1)

    def end(self, kind: Kind) -> None:
        """A validation has ended, say, or a fit: its bar is done."""

    def stop(self) -> None:
        """The trainer has finished: take everything down."""

    def print_lines(self) -> None:
        """Print a line now and then in place of bars, as logs and pipes want it."""
        self._progress, self._lines, self.every_s = LineProgress(), True, 1.0

    # Lightning's surface, beside that of `ProgressSurface`

    @property
    def is_enabled(self) -> bool:
        """Whether anything is shown."""
        return self._enabled

    @property
    def is_disabled(self) -> bool:
        """Whether nothing is shown."""
        return not self.is_enabled

    def disable(self) -> None:
        """Show nothing from now on."""
        self._enabled, self._next = False, math.inf

    def enable(self) -> None:
        """Show everything again."""
        self._enabled = True
        self._next = 0.0 if self._progress or type(self).draw is not ProgressBar.draw else math.inf

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print as the built-in function does, without disturbing the bar."""
        if self._progress is None or self._lines:
            print(*args, **kwargs)
        else:
            self._progress.note(kwargs.get("sep", " ").join(map(str, args)))

    # Hooks

    def setup(self, trainer: Trainer, pl_module: Module, stage: str) -> None:
        """Learn whose progress it is; processes beside the first show nothing."""
        self._trainer, self._stage = trainer, stage
        if self.is_enabled and trainer.is_global_zero:
            self.enable()
        else:
            self.disable()
        self.reset_dataloader_idx_tracker()

    def teardown(self, trainer: Trainer, pl_module: Module, stage: str) -> None:
        """Leave the terminal as it was."""
        self.stop()

    def on_exception(self, trainer: Trainer, pl_module: Module, exception: BaseException) -> None:
        """Leave the terminal as it was."""
        self.stop()
        if self._progress is not None:
            self._progress.close()

    def on_train_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Count from where a resumed fit stands."""
        batches = trainer.num_training_batches
        self._before = trainer.current_epoch * int(batches) if math.isfinite(batches) else 0
        self._at = 0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Begin a bar."""
        self._before, self._at, self._epoch = self._before + self._at, 0, trainer.current_epoch
        if time.monotonic() >= self._next:
            self._draw_train(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Module, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Redraw if it is time."""
        self._at = batch_idx + 1
        if (
            time.monotonic() >= self._next
            and self._at % self._every_n == 0
            and self._at != trainer.num_training_batches  # the end of the epoch follows, and is drawn
        ):
            self._draw_train(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Module) -> None:
        """Redraw with what validation logged."""
        self._drawn = self._next == math.inf
        if (self._each_epoch and self.is_enabled) or time.monotonic() >= self._next:
            self._draw_train(trainer, pl_module, last=True)

    def on_train_end(self, trainer: Trainer, pl_module: Module) -> None:
        """Show how the fit ended."""
        if not self._drawn:
            self._draw_train(trainer, pl_module, last=True)
        self.end("train")

    def on_validation_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Begin a bar."""
        self._begin(_validation(trainer))

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: Module,
        outputs: object,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Redraw if it is time."""
        self._scored = batch_idx + 1
        if time.monotonic() >= self._next and self._scored % self._every_n == 0:
            self._draw_evaluation(_validation(trainer), dataloader_idx)

    def on_validation_end(self, trainer: Trainer, pl_module: Module) -> None:
        """The bar is done."""
        self._finish(_validation(trainer))

    def on_test_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Begin a bar."""
        self._begin("test")

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: Module,
        outputs: object,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Redraw if it is time."""
        self._scored = batch_idx + 1
        if time.monotonic() >= self._next and self._scored % self._every_n == 0:
            self._draw_evaluation("test", dataloader_idx)

    def on_test_end(self, trainer: Trainer, pl_module: Module) -> None:
        """The bar is done."""
        self._finish("test")

    def on_predict_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Begin a bar."""
        self._begin("predict")

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: Module,
        outputs: object,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Redraw if it is time."""
        self._scored = batch_idx + 1
        if time.monotonic() >= self._next and self._scored % self._every_n == 0:
            self._draw_evaluation("predict", dataloader_idx)

    def on_predict_end(self, trainer: Trainer, pl_module: Module) -> None:
        """The bar is done."""
        self._finish("predict")

    # How the hooks draw

    def _draw_train(self, trainer: Trainer, pl_module: Module, *, last: bool = False) -> None:
        self._next, self._drawn = time.monotonic() + self.every_s, last
        metrics = self._readings.read(self.get_metrics(trainer, pl_module), wait=last)
        self.draw("train", f"Epoch {self._epoch}", self._at, _finite(self.total_train_batches), metrics)

    def _draw_fit(self, done: int, metrics: Mapping[str, Value]) -> None:
        """Batches of all epochs, in the progress that was given."""
        done += self._before
        if self._progress is None or done == 0:
            return
        epochs = self.trainer.max_epochs or -1
        of = f"/{epochs}" if epochs > 0 else ""
        shown = "  ".join(f"{name} {number_text(value)}" for name, value in metrics.items())
        text = f"{self._title}epoch {self._epoch + 1}{of}  {shown}".rstrip()
        total = _finite(epochs * self.trainer.num_training_batches) if epochs > 0 else None
        self._progress.update(text, done, max(done, total or 0))

    def _begin(self, kind: Kind) -> None:
        self.reset_dataloader_idx_tracker()
        self._scored = 0
        if time.monotonic() >= self._next:
            self._draw_evaluation(kind, 0)

    def _draw_evaluation(self, kind: Kind, loader: int) -> None:
        self._next = time.monotonic() + self.every_s
        self._current_eval_dataloader_idx = loader
        counts, description, total = self._of_kind(kind)
        if len(counts) > 1:
            description += f" DataLoader {loader}"
        self.draw(kind, description, self._scored, _finite(total), {})

    def _finish(self, kind: Kind) -> None:
        # Within a fit the bar vanishes, and the fit's bar goes on.
        if self._stage != "fit" and self.is_enabled:
            self._draw_evaluation(kind, self._current_eval_dataloader_idx or 0)
        self.end(kind)
        self.reset_dataloader_idx_tracker()

    def _of_kind(self, kind: Kind) -> tuple[Sequence[int | float], str, int | float]:
        """Batches of each loader, what the bar is called, and batches of the loader at work."""
        trainer = self.trainer
        if kind == "test":
            return trainer.num_test_batches, self.test_description, self.total_test_batches_current_dataloader
        if kind == "predict":
            total = self.total_predict_batches_current_dataloader
            return trainer.num_predict_batches, self.predict_description, total
        name = self.validation_description if kind == "validation" else self.sanity_check_description
        return trainer.num_val_batches, name, self.total_val_batches_current_dataloader


def number_text(value: Value) -> str:
    """A number in four digits, which keep their places as it changes; anything else as it is.

    >>> number_text(0.5), number_text(12.345), number_text(3), number_text(1e-7)
    ('0.5000', '12.35', '3', '1.000e-07')
    """
    return f"{value:#.4g}" if isinstance(value, float) else str(value)


def _finite(count: int | float) -> int | None:
    return int(count) if math.isfinite(count) else None


def _validation(trainer: Trainer) -> Kind:
    return "sanity_check" if trainer.sanity_checking else "validation"
