"""Numbers of one step, some of them still on their way from a GPU."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lifecycle.train.loggers.record import Record
from lifecycle.train.to_host import Sent, send_to_host


class Copy(NamedTuple):
    """Numbers that a GPU copies to the host, and their names."""

    names: Sequence[str]
    sent: Sent


class Reading(NamedTuple):
    """What was logged at a step, and what of it has yet to arrive."""

    numbers: dict[str, float]
    copies: Sequence[Copy]
    step: int
    time_s: float

    def record(self) -> Record:
        """The numbers, waiting for those that have not arrived."""
        for copy in self.copies:
            self.numbers.update(zip(copy.names, copy.sent.values(), strict=True))
        return Record(self.numbers, self.step, self.time_s)


def arrived(reading: Reading) -> bool:
    """Whether every number is there, without waiting for any."""
    return all(copy.sent.arrived for copy in reading.copies)


def read(metrics: Mapping[str, Tensor | float], step: int) -> Reading:
    """Read numbers, without waiting for a GPU that is still computing them.

    What lies in the memory of the CPU is read now, since training goes on to overwrite it. A GPU is asked to
    copy its numbers, after all that it was asked before, and nobody waits for that.

    Args:
        metrics: Tensors of one element, or numbers.
        step: Of training.
    """
    numbers: dict[str, float] = {}
    remote: dict[torch.device, dict[str, Tensor]] = {}
    for name, value in metrics.items():
        if not isinstance(value, Tensor):
            numbers[name] = value
        elif value.is_cuda:
            numbers[name] = float("nan")  # holds its place in the order
            remote.setdefault(value.device, {})[name] = value
        else:
            numbers[name] = value.item()
    return Reading(numbers, [_send_for(values) for values in remote.values()], step, time.time())


def _send_for(values: Mapping[str, Tensor]) -> Copy:
    together = torch.stack([value.detach().reshape(()).double() for value in values.values()])
    return Copy(tuple(values), send_to_host(together))
