"""Where a fit is: what the loop advances, and what a checkpoint must bring back."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(kw_only=True)
class FitState:
    """Counters of a fit.

    Attributes:
        epoch: The epoch at work, from 0.
        batch: Batches of it that are done: the index of the next.
        batches_seen: Batches that are done, over all epochs.
        global_step: Optimizer steps so far, of all optimizers together.
        stepped: Batches that ended in an optimizer step; the step that loggers are given.
        pending: Batches whose gradients wait for an optimizer step.
        epoch_done: The epoch has ended: a checkpoint made now goes on with the next.
        tail_due: A batch was trained on, but what follows it (validation, schedules) was not finished.
        last: That batch was the last of its epoch.
        ending: The batch at work is the last of its epoch, or the one before it was; for who asks meanwhile.
        validated: A validation ran after that batch.
        eval_batches: Validation batches so far, for each loader; the step of their own values.
        cut_at: Batches done of the epoch before, when a limit or a request ended the fit within it.
        should_stop: Somebody asked to end training.
    """

    epoch: int = 0
    batch: int = 0
    batches_seen: int = 0
    global_step: int = 0
    stepped: int = 0
    pending: int = 0
    epoch_done: bool = False
    tail_due: bool = False
    last: bool = False
    ending: bool = False
    validated: bool = False
    eval_batches: list[int] = field(default_factory=list)
    cut_at: int | None = None
    should_stop: bool = False

    def begin(self) -> None:
        """Forget what was done of the epoch at work: a fit without a checkpoint begins it anew."""
        self.batch = self.pending = 0
        self.cut_at = None
        self.epoch_done = self.tail_due = self.last = self.validated = self.should_stop = False

    def state_dict(self) -> dict[str, object]:
        """What a checkpoint keeps; at the end of an epoch, the start of the next."""
        kept = {item.name: getattr(self, item.name) for item in fields(self)}
        kept["eval_batches"] = list(self.eval_batches)
        if self.epoch_done:
            kept |= {"epoch": self.epoch + 1, "batch": 0, "last": False, "epoch_done": False}
        elif self.cut_at is not None:
            kept |= {"epoch": self.epoch - 1, "batch": self.cut_at}
        kept["cut_at"] = None
        # Whether to stop is decided anew: the same limits would stop it again, others are meant to go on.
        return kept | {"should_stop": False, "validated": False}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        for item in fields(self):
            if item.name in state:
                setattr(self, item.name, state[item.name])
