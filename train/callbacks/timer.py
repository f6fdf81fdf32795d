"""Keeps time for each stage, and ends a fit when its time is up."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, cast

from lifecycle.core.errors import UsageError, suggest
from lifecycle.train.callbacks.base import Callback

if TYPE_CHECKING:
    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer

log = logging.getLogger(__name__)

_STAGES = ("train", "sanity_check", "validate", "test", "predict")
_INTERVALS = ("step", "epoch")
_FORMAT = re.compile(r"(\d+):(\d\d):(\d\d):(\d\d)")


class Timer(Callback):
    """Measures training, validation, test and prediction, and stops training after `duration`.

    Time spent before a resume counts: a fit that is interrupted and resumed gets `duration` in all.

    Args:
        duration: How long to train: ``"DD:HH:MM:SS"``, a timedelta, or its arguments in a dictionary;
            None only measures.
        interval: Look at the clock after each ``step``, or after each ``epoch`` only.
        verbose: Log when the time is up.

    Raises:
        UsageError: `duration` or `interval` is of no such form.

    >>> Timer("00:12:00:00").time_remaining()
    43200.0
    """

    def __init__(
        self,
        duration: str | timedelta | Mapping[str, int] | None = None,
        interval: str = "step",
        verbose: bool = True,
    ) -> None:
        if interval not in _INTERVALS:
            raise UsageError(f"Timer(interval={interval!r}): {suggest(str(interval), _INTERVALS)}")
        self._duration = None if duration is None else _seconds(duration)
        self._interval = interval
        self._verbose = verbose
        self._start: dict[str, float] = {}
        self._end: dict[str, float] = {}
        self._offset = 0.0  # seconds trained before a resume

    def start_time(self, stage: str = "train") -> float | None:
        """When a stage began last, in seconds of a monotonic clock; None if it did not."""
        return self._start.get(_named(stage))

    def end_time(self, stage: str = "train") -> float | None:
        """When a stage ended, in seconds of a monotonic clock; None if it did not."""
        return self._end.get(_named(stage))

    def time_elapsed(self, stage: str = "train") -> float:
        """Seconds that a stage took, or has taken so far; of training, those before a resume included."""
        stage = _named(stage)
        offset = self._offset if stage == "train" else 0.0
        start = self._start.get(stage)
        return offset if start is None else self._end.get(stage, time.monotonic()) - start + offset

    def time_remaining(self, stage: str = "train") -> float | None:
        """Seconds left of `duration`; None if there is no limit."""
        return None if self._duration is None else self._duration - self.time_elapsed(stage)

    def state_dict(self) -> dict[str, object]:
        """Seconds elapsed, by stage."""
        return {"time_elapsed": {stage: self.time_elapsed(stage) for stage in _STAGES}}

    def load_state_dict(self, state_dict: Mapping[str, object]) -> None:
        """Count what was trained before."""
        elapsed = cast("Mapping[str, float]", state_dict.get("time_elapsed", {}))
        self._offset = elapsed.get("train", 0.0)

    def on_train_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Start the clock of training; a resumed fit may have used up its time already."""
        self._begin("train")
        self._check(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: Module) -> None:
        """Stop the clock of training."""
        self._end["train"] = time.monotonic()

    def on_sanity_check_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Start the clock of the sanity check."""
        self._begin("sanity_check")

    def on_sanity_check_end(self, trainer: Trainer, pl_module: Module) -> None:
        """Stop the clock of the sanity check."""
        self._end["sanity_check"] = time.monotonic()

    def on_validation_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Start the clock of validation."""
        self._begin("validate")

    def on_validation_end(self, trainer: Trainer, pl_module: Module) -> None:
        """Stop the clock of validation."""
        self._end["validate"] = time.monotonic()

    def on_test_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Start the clock of the test."""
        self._begin("test")

    def on_test_end(self, trainer: Trainer, pl_module: Module) -> None:
        """Stop the clock of the test."""
        self._end["test"] = time.monotonic()

    def on_predict_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Start the clock of prediction."""
        self._begin("predict")

    def on_predict_end(self, trainer: Trainer, pl_module: Module) -> None:
        """Stop the clock of prediction."""
        self._end["predict"] = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Module, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Look at the clock, if steps are to be interrupted."""
        if self._interval == "step":
            self._check(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Module) -> None:
        """Look at the clock, if epochs are to be finished."""
        if self._interval == "epoch":
            self._check(trainer)

    def _begin(self, stage: str) -> None:
        self._start[stage] = time.monotonic()
        self._end.pop(stage, None)

    def _check(self, trainer: Trainer) -> None:
        if self._duration is None:
            return
        elapsed = trainer.strategy.broadcast(self.time_elapsed())  # all end after the same batch
        if elapsed >= self._duration:
            trainer.should_stop = True
            if self._verbose:
                log.info("the fit's time is up after %s", timedelta(seconds=int(elapsed)))


def _seconds(duration: str | timedelta | Mapping[str, int]) -> float:
    if isinstance(duration, str):
        match = _FORMAT.fullmatch(duration.strip())
        if match is None:
            raise UsageError(
                f"Timer(duration={duration!r}): expected days, hours, minutes and seconds as 'DD:HH:MM:SS'"
            )
        days, hours, minutes, seconds = map(int, match.groups())
        duration = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if isinstance(duration, Mapping):
        try:
            duration = timedelta(**duration)
        except TypeError as error:
            raise UsageError(f"Timer(duration={duration}): {error}") from error
    if not isinstance(duration, timedelta):
        raise UsageError(
            f"Timer(duration={duration!r}): allowed: 'DD:HH:MM:SS', a timedelta, "
            "or a dictionary such as {'hours': 2}"
        )
    return duration.total_seconds()


def _named(stage: str) -> str:
    name = stage.value if isinstance(stage, Enum) else stage
    if name not in _STAGES:
        raise UsageError(f"a timer knows no stage {name!r}: {suggest(str(name), _STAGES)}")
    return cast("str", name)
