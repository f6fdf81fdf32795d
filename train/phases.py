"""The parts of a training step, and how long each takes on one device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from lifecycle.train.callbacks.stopwatch import Stopwatch

# In the order of a step. What waits for other processes before gradients are exchanged is `sync`.
PHASES = ("data", "transfer", "sync", "forward", "backward", "optimizer", "rest")
VALIDATION = "validation"


@dataclass(kw_only=True)
class PhaseTimes:
    """Sums over whole batches of one process.

    Attributes:
        batches: Batches that were trained on.
        samples: Samples in them.
        seconds: By phase; validations within training beside them, which are part of no batch.
    """

    batches: int = 0
    samples: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, samples: int, seconds: Mapping[str, float]) -> None:
        """Take one batch."""
        self.batches += 1
        self.samples += samples
        for phase, taken in seconds.items():
            self.seconds[phase] = self.seconds.get(phase, 0.0) + taken


class PhaseClock:
    """Knows at any time which phase is at work: the one that began last and has not ended.

    Phases may lie within each other (an optimizer's step that runs a closure): each is given the time that
    is its own. A batch lasts from the end of the one before to its own end. On a GPU the times are those at
    which it came to each phase, known when it has: nobody waits for it (`Stopwatch`).

    Args:
        device: What computes.
        warmup: So many first batches do not count.

    Attributes:
        total: All batches that have arrived.
        recent: Those since it was last emptied.
    """

    def __init__(self, device: torch.device, warmup: int) -> None:
        self.total, self.recent = PhaseTimes(), PhaseTimes()
        self._skipped = warmup
        self._open: list[str] = ["rest"]
        self._batch: dict[str, float] = {}
        self._before = 0.0
        self._watch: Stopwatch[tuple[str, int | None]] = Stopwatch(device)

    def begin(self, phase: str) -> None:
        """A phase begins, within the one at work."""
        self._watch.lap((self._open[-1], None))
        self._open.append(phase)

    def end(self) -> None:
        """The phase at work ends; the one around it goes on."""
        self._watch.lap((self._open.pop(), None))

    def batch(self, samples: int) -> None:
        """A batch ends."""
        self._watch.lap((self._open[-1], samples))
        self.take()

    def take(self, *, wait: bool = False) -> None:
        """Add up what has arrived.

        Args:
            wait: For a GPU that has not come to the end.
        """
        if wait:
            self._watch.pause()
        for seconds, (phase, samples) in self._watch.arrived():
            self._batch[phase] = self._batch.get(phase, 0.0) + seconds - self._before
            self._before = seconds
            if samples is not None:
                if self._skipped:
                    self._skipped -= 1
                else:
                    self.total.add(samples, self._batch)
                    self.recent.add(samples, self._batch)
                self._batch = {}
