"""Which samples a process reads of those that several share out between them: every n-th of the order.

The order is that of one process, drawn from the same seed in all; so n processes with batches of b samples
train on the same samples in the same step as one process with batches of n · b.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from torch.utils.data import BatchSampler
from torch.utils.data.distributed import DistributedSampler


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A process's part.

    Attributes:
        rank: Index of the process; tells its random numbers from those of others.
        count: How many processes share.
        splits: Whether samples are shared out; otherwise every process reads what its loader gives.
    """

    rank: int = 0
    count: int = 1
    splits: bool = True

    @property
    def stream(self) -> tuple[int, ...]:
        """Mixed into seeds that are to differ between processes; the first draws as one alone would."""
        return (self.rank,) if self.rank else ()


WHOLE = Shard()  # of one process


class Sharded:
    """Every n-th item of a sampler or batch sampler.

    Args:
        given: Gives the same items in the same order in all processes.
        shard: Which of them.
        even: All processes get equally many: those that would lack one repeat one of the first.
    """

    def __init__(self, given: Iterable[Any], shard: Shard, *, even: bool) -> None:
        self.given = given
        self._shard = shard
        self._even = even

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "given":
            raise AttributeError(name)
        return getattr(self.given, name)

    def __len__(self) -> int:
        whole, rest = divmod(len(cast("Any", self.given)), self._shard.count)
        return whole + int(rest > 0 if self._even else self._shard.rank < rest)

    def __iter__(self) -> Iterator[Any]:
        rank, count = self._shard.rank, self._shard.count
        first: list[Any] = []
        number = 0
        for item in self.given:
            if len(first) < count:
                first.append(item)
            if number % count == rank:
                yield item
            number += 1
        rest = number % count
        if self._even and 0 < rest <= rank:
            yield first[(rank - rest) % len(first)]


def shared_out(lists: Iterable[Any], shard: Shard, *, even: bool) -> Iterable[Any]:
    """A sampler or batch sampler, or this process's part of it.

    Samples of a plain batch sampler are shared out one by one. What another batch sampler puts together
    stays together: its batches are shared out. A ``DistributedSampler`` of the user's is left alone.
    """
    if shard.count == 1 or not shard.splits:
        return lists
    inner = getattr(lists, "sampler", lists)
    if isinstance(inner, DistributedSampler) or isinstance(lists, DistributedSampler):
        return lists
    if type(lists) is BatchSampler:
        part = Sharded(lists.sampler, shard, even=even)
        return BatchSampler(cast("Any", part), lists.batch_size, lists.drop_last)
    return Sharded(lists, shard, even=even)
