"""Counters and metrics of a fit: what the loop advances and the trainer shows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from torch import Tensor

from lifecycle.train.metrics import Entry


@dataclass(kw_only=True)
class FitState:
    """Where training is.

    Attributes:
        epoch: The epoch at work, from 0.
        epoch_done: True in the hooks of an epoch's end: a checkpoint made there goes on with the next.
        global_step: Optimizer steps so far.
        batches_seen: Training batches so far.
        should_stop: Set to end training after the epoch.
        log_every_n_steps: How often values of steps go to the logger.
        callback_metrics: Everything logged, by name.
        progress_bar_metrics: What was logged for the progress bar.
        logged_metrics: What was last sent to the logger.
    """

    epoch: int = 0
    epoch_done: bool = False
    global_step: int = 0
    batches_seen: int = 0
    should_stop: bool = False
    log_every_n_steps: int = 50
    callback_metrics: dict[str, Tensor] = field(default_factory=dict)
    progress_bar_metrics: dict[str, Tensor] = field(default_factory=dict)
    logged_metrics: dict[str, Tensor] = field(default_factory=dict)

    def show(self, values: Iterable[tuple[Entry, str, Tensor]]) -> dict[str, Tensor]:
        """Take logged values (entry, name, value); returns those that the logger wants, by name."""
        wanted = {}
        for entry, name, value in values:
            # A forked name (loss_epoch) is known by the plain one too, which monitors follow.
            self.callback_metrics[name] = self.callback_metrics[entry.name] = value
            if entry.prog_bar:
                self.progress_bar_metrics[name] = value
            if entry.logger:
                wanted[name] = value
        return wanted

    def counters(self) -> dict[str, int]:
        """What a checkpoint keeps."""
        return {
            "epoch": self.epoch + self.epoch_done,
            "global_step": self.global_step,
            "batches_seen": self.batches_seen,
        }

    def restore(self, counters: dict[str, int]) -> None:
        """Take back what `counters` gave."""
        self.epoch = counters["epoch"]
        self.global_step = counters["global_step"]
        self.batches_seen = counters["batches_seen"]
