"""When things are due in a fit: validation, logging, the end."""

from __future__ import annotations

import time
from dataclasses import dataclass

from lifecycle.train.state import FitState


@dataclass(kw_only=True)
class Plan:
    """The options that the loop asks for; callbacks may change them between batches.

    Attributes:
        max_epochs: Epochs in all, those before a resume included; None for no end.
        min_epochs: Epochs before anybody may stop the fit early.
        max_steps: Optimizer steps in all; -1 for no end.
        min_steps: Steps before anybody may stop the fit early, if any.
        accumulate: Batches for each optimizer step.
        log_every_n_steps: How often values of steps go to loggers; 0 for never.
        num_batches: Batches of an epoch, None when it is not known before its end.
        validates: Whether there is anything to validate with.
        every_n_epochs: Validate in every n-th epoch; None counts batches across epochs.
        every_n_batches: Validate after every n-th batch; None at the end of the epoch.
        every_s: Validate by the clock instead, in seconds.
    """

    max_epochs: int | None = 1000
    min_epochs: int = 0
    max_steps: int = -1
    min_steps: int | None = None
    accumulate: int = 1
    log_every_n_steps: int = 50
    num_batches: int | None = None
    validates: bool = False
    every_n_epochs: int | None = 1
    every_n_batches: int | None = None
    every_s: float | None = None
    validated_at: float = 0.0

    def steps(self, index: int, *, last: bool) -> bool:
        """Whether the optimizer steps after this batch of the epoch."""
        return last or (index + 1) % self.accumulate == 0

    def logs(self, state: FitState) -> bool:
        """Whether the values of the batch at work go to loggers."""
        every = self.log_every_n_steps
        return every > 0 and ((state.stepped + 1) % every == 0 or state.should_stop)

    def validates_epoch(self, state: FitState) -> bool:
        """Whether the epoch at work is one of those in which validations run."""
        return self.every_n_epochs is None or (state.epoch + 1) % self.every_n_epochs == 0

    def validation_due(self, state: FitState) -> bool:
        """Whether to validate after the batch at work."""
        if not self.validates:
            return False
        if not self.validates_epoch(state):
            return False
        if state.should_stop and self.may_stop(state):
            return True
        if self.every_s is not None:
            return time.monotonic() - self.validated_at >= self.every_s
        if self.every_n_batches is None:
            return state.last
        seen = state.batches_seen if self.every_n_epochs is None else state.batch
        return seen % self.every_n_batches == 0

    def may_stop(self, state: FitState) -> bool:
        """Whether the least number of epochs and steps was done."""
        return state.epoch >= self.min_epochs and state.global_step >= (self.min_steps or 0)

    def steps_done(self, state: FitState) -> bool:
        """Whether there are to be no more optimizer steps."""
        return self.max_steps != -1 and state.global_step >= self.max_steps

    def stops(self, state: FitState) -> bool:
        """Whether the fit ends after the batch at work, even within the epoch."""
        return self.steps_done(state) or (state.should_stop and self.may_stop(state))

    def done(self, state: FitState) -> bool:
        """Whether there is no further epoch."""
        epochs_done = self.max_epochs is not None and state.epoch >= self.max_epochs
        return epochs_done or self.stops(state) or self.num_batches == 0
