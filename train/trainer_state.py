"""What a trainer does, in Lightning's words: ``trainer.state``."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from lifecycle.train.placement import Placement

if TYPE_CHECKING:
    from lifecycle.train.interrupts import Interrupts


class TrainerFn(StrEnum):
    """Which verb of the trainer was called."""

    FITTING = "fit"
    VALIDATING = "validate"
    TESTING = "test"
    PREDICTING = "predict"


class RunningStage(StrEnum):
    """What runs within it."""

    TRAINING = "train"
    SANITY_CHECKING = "sanity_check"
    VALIDATING = "validate"
    TESTING = "test"
    PREDICTING = "predict"

    @property
    def evaluating(self) -> bool:
        """Whether it scores without predicting."""
        return self in (self.VALIDATING, self.TESTING, self.SANITY_CHECKING)


class TrainerStatus(StrEnum):
    """How far it is."""

    INITIALIZING = "initializing"
    RUNNING = "running"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"

    @property
    def stopped(self) -> bool:
        """Whether it runs no more, having begun."""
        return self in (self.FINISHED, self.INTERRUPTED)


VERBS = {
    "fit": TrainerFn.FITTING,
    "validation": TrainerFn.VALIDATING,
    "test": TrainerFn.TESTING,
    "predict": TrainerFn.PREDICTING,
}
STAGES = {
    "fit": RunningStage.TRAINING,
    "sanity_check": RunningStage.SANITY_CHECKING,
    "validation": RunningStage.VALIDATING,
    "test": RunningStage.TESTING,
    "predict": RunningStage.PREDICTING,
}


@dataclass(frozen=True, kw_only=True)
class TrainerState:
    """A moment of a trainer.

    Attributes:
        status: How far the verb is, or the last one.
        fn: The verb; None before the first.
        stage: What runs; None when nothing does.
    """

    status: TrainerStatus = TrainerStatus.INITIALIZING
    fn: TrainerFn | None = None
    stage: RunningStage | None = None

    @property
    def finished(self) -> bool:
        """Whether the last verb came to its end."""
        return self.status is TrainerStatus.FINISHED

    @property
    def stopped(self) -> bool:
        """Whether it ended, in whatever way."""
        return self.status.stopped


class AtWork(Placement):
    """The part of a trainer that knows what it does at the moment."""

    interrupts: Interrupts
    _verb: str
    _stage: str
    _status: TrainerStatus

    @property
    def state(self) -> TrainerState:
        """What it does, as a value."""
        return TrainerState(status=self._status, fn=VERBS.get(self._verb), stage=STAGES.get(self._stage))

    def note_status(self, status: TrainerStatus) -> None:
        """Remember how far the verb at work is."""
        self._status = status

    @property
    def training(self) -> bool:
        """Whether a fit is training."""
        return self._stage == "fit"

    @property
    def validating(self) -> bool:
        """Whether a validation runs."""
        return self._stage == "validation"

    @property
    def testing(self) -> bool:
        """Whether a test runs."""
        return self._stage == "test"

    @property
    def predicting(self) -> bool:
        """Whether a prediction runs."""
        return self._stage == "predict"

    @property
    def sanity_checking(self) -> bool:
        """Whether the short validation before a fit runs."""
        return self._stage == "sanity_check"

    @property
    def evaluating(self) -> bool:
        """Whether a validation (the short one before a fit too) or a test runs."""
        return self._stage in ("validation", "test", "sanity_check")

    @property
    def interrupted(self) -> bool:
        """Whether the verb at work, or the last one, was told to end by a signal, or ended with an error."""
        return self.interrupts.received is not None or self._status is TrainerStatus.INTERRUPTED

    @property
    def received_sigterm(self) -> bool:
        """Whether that signal was SIGTERM."""
        return self.interrupts.received == signal.SIGTERM
