"""All processes train on equally many batches: agreed on before the loop, or batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lifecycle.core.errors import UsageError
from lifecycle.train.loop import Batches
from lifecycle.train.strategies import Strategy

_HINT = (
    "Every process steps with all the others, so they need equally many: let the trainer share out the "
    "samples (use_distributed_sampler=True), or pass limit_train_batches."
)
_END: Any = object()


def agree_on_batches(count: int | None, strategy: Strategy) -> None:
    """Raise `UsageError` in every process unless all have equally many batches; says who has how many.

    Args:
        count: Of this process; None where it is not known before the end.
        strategy: Asks the others.
    """
    counts = strategy.gathered(count)
    if len(set(counts)) > 1:
        raise UsageError(f"the processes have unequal training data: {_told(counts)}", hint=_HINT)


class InStep:
    """Batches whose number nobody knows: before each, every process says whether it has one.

    Args:
        feed: Gives the batches of this process.
        strategy: Asks the others; over the processor, so that no GPU is waited for.
    """

    num_batches: int | None = None

    def __init__(self, feed: Batches, strategy: Strategy) -> None:
        self._feed = feed
        self._strategy = strategy

    def batches(self, seed: int, epoch: int, start: int = 0) -> Iterator[Any]:
        """The batches `start`, `start` + 1, … of an epoch.

        Raises:
            UsageError: in every process, when one has no more batches and another has.
        """
        source = self._feed.batches(seed, epoch, start)
        number = start
        while True:
            batch = next(source, _END)
            ended = batch is _END
            if self._strategy.reduce_boolean_decision(not ended):
                number += 1
                yield batch
            elif self._strategy.reduce_boolean_decision(ended):
                return
            else:
                self._fail(number, ended=ended)

    def _fail(self, number: int, *, ended: bool) -> None:
        ends = self._strategy.gathered(ended)
        short = [f"rank {rank} has {number}" for rank, short in enumerate(ends) if short]
        more = [f"rank {rank} has more" for rank, short in enumerate(ends) if not short]
        raise UsageError(
            f"the processes have unequal training data: {', '.join([*short, *more])} batches", hint=_HINT
        )


def in_step(feed: Batches, strategy: Strategy) -> Batches:
    """The same batches, as long as every process has one."""
    return InStep(feed, strategy)


def _told(counts: list[int | None]) -> str:
    return ", ".join(
        f"rank {rank} has {'an unknown number of' if count is None else count} batches"
        for rank, count in enumerate(counts)
    )
