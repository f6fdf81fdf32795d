"""Changes how many batches make one optimizer step, by epoch."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lifecycle.core.errors import UsageError
from lifecycle.train.callbacks.base import Callback

if TYPE_CHECKING:
    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer


class GradientAccumulationScheduler(Callback):
    """From which epoch on, gradients of how many batches are summed for one step of the optimizer.

    Args:
        scheduling: Batches by the epoch (from 0) from which they hold; 1 before the first.

    Raises:
        UsageError: `scheduling` is empty or holds something other than whole numbers; in the fit, that
            optimization is manual or the trainer was given `accumulate_grad_batches` too.

    >>> GradientAccumulationScheduler({4: 2}).get_accumulate_grad_batches(3)
    1
    """

    def __init__(self, scheduling: Mapping[int, int]) -> None:
        _check(scheduling)
        self.scheduling = {0: 1, **scheduling}
        self.epochs = sorted(self.scheduling)
        self._at_work = False

    def going_to_accumulate_grad_batches(self) -> bool:
        """Whether any epoch sums over more than one batch."""
        return any(batches > 1 for batches in self.scheduling.values())

    def get_accumulate_grad_batches(self, epoch: int) -> int:
        """Batches for each step in this epoch."""
        return self.scheduling[max(start for start in self.epochs if start <= epoch)]

    def on_train_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Refuse what this cannot be combined with; a fit that is resumed inside an epoch begins here."""
        if not pl_module.automatic_optimization:
            raise UsageError(
                "GradientAccumulationScheduler works with automatic optimization only: "
                "take it out, or step the optimizer yourself every n batches"
            )
        if trainer.accumulate_grad_batches != 1:
            raise UsageError(
                f"the trainer was given accumulate_grad_batches={trainer.accumulate_grad_batches} and a "
                "GradientAccumulationScheduler: keep one of them"
            )
        if self.going_to_accumulate_grad_batches() and _own_optimizer_hooks(pl_module):
            warnings.warn(
                f"{type(pl_module).__name__} overrides optimizer_step or optimizer_zero_grad: with gradients "
                "accumulated they are called once for each optimizer step, not for each batch",
                stacklevel=2,
            )
        self._at_work = True
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Set what holds for this epoch."""
        trainer.accumulate_grad_batches = self.get_accumulate_grad_batches(trainer.current_epoch)

    def on_fit_end(self, trainer: Trainer, pl_module: Module) -> None:
        """Leave the trainer as it was, so that it can fit again."""
        self._leave(trainer)

    def on_exception(self, trainer: Trainer, pl_module: Module, exception: BaseException) -> None:
        """Leave the trainer as it was."""
        self._leave(trainer)

    def _leave(self, trainer: Trainer) -> None:
        if self._at_work:
            trainer.accumulate_grad_batches = 1
            self._at_work = False


def _check(scheduling: Mapping[int, int]) -> None:
    if not scheduling:
        raise UsageError("GradientAccumulationScheduler got no epochs; give for example {0: 1, 4: 2}")
    for epoch, batches in scheduling.items():
        if not isinstance(epoch, int) or epoch < 0:
            raise UsageError(f"GradientAccumulationScheduler: epoch {epoch!r} is no whole number from 0 on")
        if not isinstance(batches, int) or batches < 1:
            raise UsageError(
                f"GradientAccumulationScheduler: {batches!r} batches from epoch {epoch} on; "
                "expected a whole number of at least 1"
            )


def _own_optimizer_hooks(module: Module) -> bool:
    from lifecycle.train.module import Module

    return any(
        getattr(type(module), name) is not getattr(Module, name)
        for name in ("optimizer_step", "optimizer_zero_grad")
    )
