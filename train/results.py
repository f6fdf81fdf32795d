"""What was logged, as callbacks, progress bar and loggers see it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from torch import Tensor

from lifecycle.train.log_entry import Entry
from lifecycle.train.metrics import Logbook

Values = Iterable[tuple[Entry, str, Tensor]]


class Sink(Protocol):
    """Where numbers go (`lifecycle.train.loggers.delivery`)."""

    def metrics(self, metrics: Mapping[str, Tensor | float], step: int) -> None:
        """Take numbers of a step of training."""


class Results:
    """Everything logged, by name; values of steps are taken from the logbook when somebody looks.

    Args:
        sink: The loggers, or None.
    """

    def __init__(self, sink: Sink | None = None) -> None:
        self.sink = sink
        self._live: Logbook | None = None
        self._ended = False
        self._scoring = False
        self._callback: dict[str, Tensor] = {}
        self._bar: dict[str, Tensor] = {}
        self._logged: dict[str, Tensor] = {}

    @property
    def callback(self) -> dict[str, Tensor]:
        """For callbacks: a forked name (``loss_epoch``) is known by the plain one too."""
        self._look()
        return self._callback

    @property
    def bar(self) -> dict[str, Tensor]:
        """What was logged for the progress bar."""
        self._look()
        return self._bar

    @property
    def logged(self) -> dict[str, Tensor]:
        """What was logged for loggers."""
        self._look()
        return self._logged

    def keep(self, values: Values, *, callbacks: bool = True) -> dict[str, Tensor]:
        """Take logged values; returns those that loggers want, by name.

        Args:
            values: Entry, name and value.
            callbacks: False for values of validation steps, which callbacks do not see.
        """
        wanted = {}
        for entry, name, value in values:
            if callbacks:
                self._callback[name] = self._callback[entry.name] = value
            if entry.prog_bar:
                self._bar[name] = value
            if entry.logger:
                wanted[name] = value
        self._logged.update(wanted)
        return wanted

    def report(self, metrics: Mapping[str, Tensor], *, step: int, epoch: int | None) -> None:
        """Send numbers to the loggers.

        Args:
            metrics: By name.
            step: Of training; a number that is called ``step`` takes its place.
            epoch: Sent along. None for single steps of a validation or test, whose `step` stays.
        """
        if not metrics:
            return
        self._logged.update(metrics)
        if self.sink is None:
            return
        numbers: dict[str, Tensor | float] = dict(metrics)
        if epoch is not None and "step" in numbers:
            step = int(numbers.pop("step"))
        elif epoch is not None:
            numbers.setdefault("epoch", epoch)
        self.sink.metrics(numbers, step)

    def report_step(self, *, step: int, epoch: int | None) -> None:
        """Send the values of the batch at work."""
        if self._live is not None:
            self.report(self._kept(self._live), step=step, epoch=epoch)

    def begin(self, live: Logbook) -> None:
        """An epoch of training begins, which is logged in `live`."""
        self._live, self._ended = live, False

    def end_steps(self) -> None:
        """The epoch has no further steps: from now on its reductions are looked at."""
        self._look()
        self._ended = True

    @contextmanager
    def scoring(self, live: Logbook) -> Iterator[None]:
        """Look at the logbook of a validation or test for a while."""
        self._look()
        before = self._live, self._ended
        self._live, self._ended, self._scoring = live, False, True
        try:
            yield
        finally:
            (self._live, self._ended), self._scoring = before, False

    @contextmanager
    def rehearsing(self) -> Iterator[None]:
        """For a while keep values apart from others, and away from the loggers."""
        before = self.sink, self._callback, self._bar, self._logged
        self.sink, self._callback, self._bar, self._logged = None, {}, {}, {}
        try:
            yield
        finally:
            self.sink, self._callback, self._bar, self._logged = before

    def clear(self) -> None:
        """Forget everything."""
        self._live = None
        self._callback, self._bar, self._logged = {}, {}, {}

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """What a checkpoint keeps: schedules and callbacks may follow metrics of an earlier epoch."""
        # Copies: a loss may lie in a larger storage, whose other bytes would be written too.
        return {
            name: {key: value.clone() for key, value in values.items()}
            for name, values in (("callback", self.callback), ("bar", self.bar), ("logged", self.logged))
        }

    def load_state_dict(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Take back what `state_dict` gave."""
        self._callback = dict(state["callback"])
        self._bar = dict(state["bar"])
        self._logged = dict(state["logged"])

    def _look(self) -> None:
        if self._live is not None:
            self._kept(self._live)

    def _kept(self, live: Logbook) -> dict[str, Tensor]:
        if self._ended:
            return self.keep(live.epoch_values())
        return self.keep(live.step_values(), callbacks=not self._scoring)
