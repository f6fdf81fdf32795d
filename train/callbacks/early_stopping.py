"""Ends a fit when a metric no longer improves, crosses a threshold or is no number any more."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, ClassVar, cast

import torch
from torch import Tensor

from lifecycle.core.errors import UsageError, suggest
from lifecycle.train.callbacks.base import Callback

if TYPE_CHECKING:
    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer

log = logging.getLogger(__name__)


class EarlyStoppingReason(Enum):
    """Why `EarlyStopping` ended a fit."""

    NOT_STOPPED = 0
    STOPPING_THRESHOLD = 1
    DIVERGENCE_THRESHOLD = 2
    PATIENCE_EXHAUSTED = 3
    NON_FINITE_METRIC = 4


class EarlyStopping(Callback):
    """Watches one metric and ends the fit when it is not worth going on.

    Args:
        monitor: The logged name to watch.
        min_delta: Improve by more than this, or it does not count.
        patience: Checks without improvement that are borne; one check follows each epoch, or each
            validation where validations are rarer or more frequent than epochs.
        verbose: Log every improvement and why the fit was ended.
        mode: Whether less (``min``) or more (``max``) is better.
        strict: Whether a metric that nobody logged is an error.
        check_finite: End the fit when the metric is NaN or infinite.
        stopping_threshold: Good enough: end the fit once the metric is better than this.
        divergence_threshold: Hopeless: end the fit once the metric is worse than this.
        check_on_train_epoch_end: Check at the end of an epoch rather than of a validation; None picks
            the epoch when exactly one validation belongs to each.
        log_rank_zero_only: With several processes, let the first alone log.

    Attributes:
        wait_count: Checks since the last improvement.
        best_score: The best value so far.
        stopped_epoch: The epoch in which the fit was ended; 0 if it was not.
        stopping_reason: Why it was ended.
        stopping_reason_message: The same in words.

    Raises:
        UsageError: `mode` is neither; in the fit, that `monitor` was never logged.
    """

    monitors: ClassVar[bool] = True
    mode_dict: ClassVar[dict[str, Callable[..., Tensor]]] = {"min": torch.lt, "max": torch.gt}
    order_dict: ClassVar[dict[str, str]] = {"min": "<", "max": ">"}

    def __init__(
        self,
        monitor: str,
        min_delta: float = 0.0,
        patience: int = 3,
        verbose: bool = False,
        mode: str = "min",
        strict: bool = True,
        check_finite: bool = True,
        stopping_threshold: float | None = None,
        divergence_threshold: float | None = None,
        check_on_train_epoch_end: bool | None = None,
        log_rank_zero_only: bool = False,
    ) -> None:
        if mode not in self.mode_dict:
            raise UsageError(f"EarlyStopping(mode={mode!r}): {suggest(str(mode), self.mode_dict)}")
        self.monitor = monitor
        # Signed, as in Lightning: a value counts when `value - min_delta` is better than the best.
        self.min_delta = min_delta if mode == "max" else -min_delta
        self.patience = patience
        self.verbose = verbose
        self.mode = mode
        self.strict = strict
        self.check_finite = check_finite
        self.stopping_threshold = stopping_threshold
        self.divergence_threshold = divergence_threshold
        self.log_rank_zero_only = log_rank_zero_only
        self.wait_count = 0
        self.stopped_epoch = 0
        self.stopping_reason = EarlyStoppingReason.NOT_STOPPED
        self.stopping_reason_message: str | None = None
        self.best_score = torch.tensor(torch.inf if mode == "min" else -torch.inf)
        self._wanted_at_epoch_end = check_on_train_epoch_end
        self._at_epoch_end = bool(check_on_train_epoch_end)
        self._fitting = False

    @property
    def monitor_op(self) -> Callable[..., Tensor]:
        """Compares two values: whether the first is the better one."""
        return self.mode_dict[self.mode]

    @property
    def state_key(self) -> str:
        """Distinguishes callbacks by what they watch."""
        return self._generate_state_key(monitor=self.monitor, mode=self.mode)

    def state_dict(self) -> dict[str, object]:
        """Best value, patience used up, and how it ended."""
        return {
            "wait_count": self.wait_count,
            "stopped_epoch": self.stopped_epoch,
            "best_score": self.best_score,
            "patience": self.patience,
            "stopping_reason": self.stopping_reason.value,
            "stopping_reason_message": self.stopping_reason_message,
        }

    def load_state_dict(self, state_dict: Mapping[str, object]) -> None:
        """Go on counting from there."""
        self.wait_count = cast("int", state_dict["wait_count"])
        self.stopped_epoch = cast("int", state_dict["stopped_epoch"])
        self.best_score = cast("Tensor", state_dict["best_score"])
        self.patience = cast("int", state_dict["patience"])
        self.stopping_reason = EarlyStoppingReason(state_dict.get("stopping_reason", 0))
        self.stopping_reason_message = cast("str | None", state_dict.get("stopping_reason_message"))

    def setup(self, trainer: Trainer, pl_module: Module, stage: str) -> None:
        """Settle when to check."""
        self._fitting = stage == "fit"
        self._at_epoch_end = (
            _one_validation_an_epoch(trainer)
            if self._wanted_at_epoch_end is None
            else self._wanted_at_epoch_end
        )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Module) -> None:
        """Check, if this is the time."""
        if self._at_epoch_end and self._fitting:
            self._run_early_stopping_check(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: Module) -> None:
        """Check, if this is the time."""
        if not self._at_epoch_end and self._fitting and not trainer.sanity_checking:
            self._run_early_stopping_check(trainer)

    # Lightning's manual has subclasses call it, by this name.
    def _run_early_stopping_check(self, trainer: Trainer) -> None:
        if trainer.fast_dev_run or not self._is_logged(trainer.callback_metrics):
            return
        reason, message = self._judge(trainer.callback_metrics[self.monitor].squeeze())
        if reason is not EarlyStoppingReason.NOT_STOPPED:
            self.stopping_reason = reason
            trainer.should_stop = True
            self.stopped_epoch = trainer.current_epoch
            self.stopping_reason_message = message
        if message and self.verbose and not (self.log_rank_zero_only and trainer.global_rank):
            log.info("%s", message)

    def _is_logged(self, metrics: Mapping[str, Tensor]) -> bool:
        if self.monitor in metrics:
            return True
        text = (
            f"EarlyStopping watches '{self.monitor}', which nobody logged: {suggest(self.monitor, metrics)}"
        )
        if self.strict:
            raise UsageError(text)
        if self.verbose:
            warnings.warn(text, RuntimeWarning, stacklevel=2)
        return False

    def _judge(self, value: Tensor) -> tuple[EarlyStoppingReason, str | None]:
        """Why to end the fit at this value, if so, and something to tell the user."""
        named = f"{self.monitor} = {float(value):.6g}"
        order, better = self.order_dict[self.mode], self.monitor_op
        if self.check_finite and not torch.isfinite(value):
            return EarlyStoppingReason.NON_FINITE_METRIC, (
                f"{named} is not finite; the best before was {float(self.best_score):.3f}"
            )
        if self.stopping_threshold is not None and better(value, self.stopping_threshold):
            return EarlyStoppingReason.STOPPING_THRESHOLD, (
                f"{named} is good enough ({order} {self.stopping_threshold})"
            )
        if self.divergence_threshold is not None and better(-value, -self.divergence_threshold):
            return EarlyStoppingReason.DIVERGENCE_THRESHOLD, (
                f"{named} diverged (not {order} {self.divergence_threshold})"
            )
        if better(value - self.min_delta, self.best_score.to(value.device)):
            before, self.best_score, self.wait_count = self.best_score, value.detach().clone(), 0
            was = f", before {float(before):.3f}" if torch.isfinite(before) else ""
            return EarlyStoppingReason.NOT_STOPPED, f"{self.monitor} improved to {float(value):.3f}{was}"
        self.wait_count += 1
        if self.wait_count < self.patience:
            return EarlyStoppingReason.NOT_STOPPED, None
        return EarlyStoppingReason.PATIENCE_EXHAUSTED, (
            f"{self.monitor} did not improve in {self.wait_count} checks; "
            f"the best was {float(self.best_score):.3f}"
        )


def _one_validation_an_epoch(trainer: Trainer) -> bool:
    interval = trainer.val_check_interval
    by_the_clock = trainer.fit_loop.every_s is not None
    # As a whole number it counts batches.
    whole = isinstance(interval, float) and interval == 1.0
    return whole and not by_the_clock and trainer.check_val_every_n_epoch == 1
