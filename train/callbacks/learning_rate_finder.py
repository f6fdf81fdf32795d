"""Finds a learning rate at the start of a fit."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from lifecycle.core.errors import UsageError, suggest
from lifecycle.train.attributes import Attribute
from lifecycle.train.callbacks.base import Callback

if TYPE_CHECKING:
    from lifecycle.train.module import Module
    from lifecycle.train.range_test import LRFinder
    from lifecycle.train.trainer import Trainer

log = logging.getLogger(__name__)


class LearningRateFinder(Callback):
    """Runs a range test before training, and trains with the learning rate that it suggests.

    Everything but the learning rate is as it was before the test. To run it at other times, override
    `on_fit_start` and call `lr_find` where you like.

    Args:
        min_lr: The first learning rate that is tried.
        max_lr: The last.
        num_training_steps: How many are tried.
        mode: How they grow: ``exponential`` or ``linear``.
        early_stop_threshold: End when the loss is greater than the least so far times this; None never does.
        update_attr: Train with the suggestion, and write it to the module's attribute or hyperparameter.
        attr_name: What that is called; by default ``lr`` or ``learning_rate``.

    Attributes:
        optimal_lr: What the last test found.

    Raises:
        UsageError: `mode` is neither; in the fit, that nothing has such a name, that there is not exactly
            one optimizer, or that optimization is manual.
    """

    SUPPORTED_MODES: ClassVar[tuple[str, ...]] = ("linear", "exponential")
    tunes: ClassVar[bool] = True

    def __init__(
        self,
        min_lr: float = 1e-8,
        max_lr: float = 1,
        num_training_steps: int = 100,
        mode: str = "exponential",
        early_stop_threshold: float | None = 4.0,
        update_attr: bool = True,
        attr_name: str = "",
    ) -> None:
        if mode.lower() not in self.SUPPORTED_MODES:
            raise UsageError(f"LearningRateFinder(mode={mode!r}): {suggest(mode, self.SUPPORTED_MODES)}")
        self._options: dict[str, Any] = {
            "min_lr": min_lr,
            "max_lr": max_lr,
            "num_training": num_training_steps,
            "mode": mode.lower(),
            "early_stop_threshold": early_stop_threshold,
        }
        self._update_attr = update_attr
        self._names = (attr_name,) if attr_name else ("lr", "learning_rate")
        self.optimal_lr: LRFinder | None = None

    def lr_find(self, trainer: Trainer, pl_module: Module) -> None:
        """Run the test now."""
        from lifecycle.train.range_test import range_test

        if trainer.fast_dev_run:
            warnings.warn("fast_dev_run: no learning rate is looked for", stacklevel=2)
            return
        attribute = Attribute(pl_module, trainer.datamodule, *self._names) if self._update_attr else None
        _ = trainer.estimated_stepping_batches  # counts batches: from here on the loaders are there
        self.optimal_lr = range_test(trainer, pl_module, trainer.train_dataloader, **self._options)
        lr = self.optimal_lr.suggestion() if attribute is not None else None
        if attribute is not None and lr is not None:
            attribute.write(lr)
            _set(trainer, lr)
            log.info("the learning rate is %s, as the range test suggests", lr)

    def on_fit_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Run the test before anything else."""
        self.lr_find(trainer, pl_module)


def _set(trainer: Trainer, lr: float) -> None:
    """Give a learning rate to the optimizers that are made already, and to schedules that multiply it."""
    for optimizer in trainer.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = lr
            if "initial_lr" in group:
                group["initial_lr"] = lr
    for config in trainer.lr_scheduler_configs:
        for scheduler in _nested(config.scheduler):
            if hasattr(scheduler, "base_lrs"):
                scheduler.base_lrs = [lr] * len(scheduler.base_lrs)


def _nested(scheduler: Any) -> Iterator[Any]:
    yield scheduler
    for part in getattr(scheduler, "_schedulers", ()):
        yield from _nested(part)
