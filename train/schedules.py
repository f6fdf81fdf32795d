"""Stepping learning rate schedulers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Protocol

from lifecycle.train.errors import missing_metric
from lifecycle.train.metrics import Logbook
from lifecycle.train.module import Module
from lifecycle.train.optim import Schedule
from lifecycle.train.results import Results
from lifecycle.train.state import FitState


class Fit(Protocol):
    """What is asked of the fit at work."""

    module: Module
    state: FitState
    results: Results
    logbook: Logbook


def step_schedules(schedules: Sequence[Schedule], interval: str, fit: Fit, *, follow_metric: bool) -> None:
    """Step the schedules of an interval whose frequency is due.

    Args:
        schedules: All of the fit.
        interval: ``step`` or ``epoch``.
        fit: Tells where it is, and what was logged.
        follow_metric: Those that follow a metric, or the others.

    Raises:
        UsageError: nobody logged the metric that a strict one follows; lists those that were logged.
    """
    for schedule in schedules:
        if schedule.interval != interval or schedule.reduce_on_plateau != follow_metric:
            continue
        # Lightning counts batches within the epoch.
        done = fit.state.batch if interval == "step" else fit.state.epoch + 1
        if done % schedule.frequency:
            continue
        value = None
        if schedule.reduce_on_plateau:
            assert schedule.monitor is not None
            value = fit.results.callback.get(schedule.monitor)
            if value is None:
                _missing(schedule, fit.results)
                continue
        fit.logbook.hook = "lr_scheduler_step"
        fit.module.lr_scheduler_step(schedule.scheduler, value)


def _missing(schedule: Schedule, results: Results) -> None:
    assert schedule.monitor is not None
    error = missing_metric("ReduceLROnPlateau", schedule.monitor, results.callback)
    if schedule.strict:
        raise error
    warnings.warn(f"{error}; its learning rate stays", stacklevel=4)
