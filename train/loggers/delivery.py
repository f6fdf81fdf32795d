"""What stands between the loop and the loggers."""

from __future__ import annotations

import time
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from lifecycle.train.loggers.background import Background
from lifecycle.train.loggers.outbox import Call, Outbox
from lifecycle.train.loggers.reading import Reading, arrived, read

if TYPE_CHECKING:
    from lifecycle.train.callbacks.base import Callback


class Delivery:
    """Brings numbers to loggers: without waiting for a GPU, and whatever becomes of a logger.

    A logger that fails is warned about once; what it was to log is kept and tried again (`Outbox`), the other
    loggers get theirs. A logger that says it may be called ``in_background`` is (`Background`). What ends a
    program, such as a keyboard interrupt, passes through. When `finalize` returns, every number is where the
    loggers keep them, or it was said how many are not.

    Args:
        loggers: Anything with ``log_metrics(metrics, step=...)``; of `Logger`'s other methods they have what
            they like.
        clock: Seconds, that only ever grow.
    """

    def __init__(self, loggers: Sequence[Any], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._outboxes = [_outbox(logger, clock) for logger in loggers]
        self._on_their_way: deque[Reading] = deque()

    def metrics(self, metrics: Mapping[str, Tensor | float], step: int) -> None:
        """Log numbers at a step of training; those on a GPU arrive with a later call.

        Args:
            metrics: Tensors of one element, or numbers, by name.
            step: Of training.
        """
        if self._outboxes:
            self.send(read(metrics, step))

    def send(self, reading: Reading) -> None:
        """Log numbers that may still be on their way, after those before them."""
        self._on_their_way.append(reading)
        while self._on_their_way and arrived(self._on_their_way[0]):
            self._pass_on()
        self._complain()

    def hyperparameters(self, params: Mapping[str, Any]) -> None:
        """Log what a run was made with."""
        self._call("log_hyperparams", dict(params))

    def after_save_checkpoint(self, callback: Callback) -> None:
        """Say that a `ModelCheckpoint` has saved."""
        self._call("after_save_checkpoint", callback)

    def graph(self, model: nn.Module, input_array: Tensor | None = None) -> None:
        """Log the operations of a module: at once, since training changes it, and only if that works."""
        for outbox in self._outboxes:
            outbox.at_once("log_graph", model, input_array)
        self._complain()

    def flush(self) -> None:
        """Wait until every number is where the loggers keep them, or they have failed."""
        self._arrive()
        for outbox in self._outboxes:
            outbox.flush()
        self._complain()

    def finalize(self, status: str) -> None:
        """The same, then end the run of every logger.

        Args:
            status: ``success``, ``failed`` or ``aborted``.
        """
        try:
            self._arrive()
        except Exception as error:  # of a GPU that is beyond help: others are to end well
            lost = len(self._on_their_way)
            self._on_their_way.clear()
            warnings.warn(
                f"the last {lost} records did not arrive from the GPU, and are not logged: {error}",
                stacklevel=2,
            )
        for outbox in self._outboxes:
            outbox.close(status)
        self._complain()

    def _call(self, method: str, argument: object) -> None:
        for outbox in self._outboxes:
            outbox.put(Call(method, argument))
        self._complain()

    def _arrive(self) -> None:
        while self._on_their_way:
            self._pass_on()

    def _pass_on(self) -> None:
        record = self._on_their_way[0].record()
        self._on_their_way.popleft()
        for outbox in self._outboxes:
            outbox.put(Call("log_metrics", record))

    def _complain(self) -> None:
        for outbox in self._outboxes:
            while outbox.complaints:
                warnings.warn(outbox.complaints.pop(0), stacklevel=3)


def _outbox(logger: Any, clock: Callable[[], float]) -> Outbox | Background:
    outbox = Outbox(logger, clock=clock)
    return Background(outbox, clock=clock) if getattr(logger, "in_background", False) else outbox
