"""The processes that write a checkpoint together, and what they tell each other while they do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeVar

import torch.distributed as dist

from lifecycle.train.strategies import exchange

T = TypeVar("T")


class SaveGroup:
    """All processes, over the processor and apart from what training exchanges: a thread may use it.

    All of them make it at the same point.

    Args:
        rank: Of this process.
        size: How many there are.
        timeout: How long one waits for the others.
    """

    def __init__(self, rank: int, size: int, timeout: timedelta | None = None) -> None:
        self.rank = rank
        self.size = size
        self._group: Any = dist.new_group(backend="gloo", timeout=timeout)

    def gathered(self, value: T) -> list[T]:
        """Plain values of all processes, by rank."""
        return exchange.gathered(value, self.size, self._group)

    def from_first(self, value: T) -> T:
        """What the first process has."""
        found: T = exchange.broadcast(value, self.rank, 0, self._group)
        return found
