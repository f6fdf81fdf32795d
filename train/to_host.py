"""Numbers copied from a GPU beside its computation: nobody waits until they are wanted."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Event(Protocol):
    """What `torch.cuda.Event` offers of use here."""

    def query(self) -> bool:
        """Whether it has happened."""

    def synchronize(self) -> None:
        """Wait until it has."""


class Sent(NamedTuple):
    """Values on their way; they are in `host` once the event has happened."""

    host: Tensor
    event: Event

    @property
    def arrived(self) -> bool:
        """Whether they are there, without waiting for them."""
        return self.event.query()

    def values(self) -> list[float]:
        """The numbers, waiting for them if they have not arrived."""
        self.event.synchronize()
        found: list[float] = self.host.tolist()
        return found


def send_to_host(values: Tensor) -> Sent:
    """Ask a GPU to copy values to the host, after all that it was asked before.

    Args:
        values: On a CUDA device, of shape (n,).
    """
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    with torch.cuda.device(values.device):
        host.copy_(values, non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
    return Sent(host, event)
