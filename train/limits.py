"""How much of something: batches of a split, epochs, steps."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from dataclasses import dataclass
from itertools import islice

from lifecycle.core.errors import UsageError
from lifecycle.train.data import Loader

Limit = int | float


def check_counts(**counts: int) -> None:
    """Raise `UsageError` unless each of these arguments of the trainer is at least 1."""
    for name, value in counts.items():
        if value < 1:
            raise UsageError(f"Trainer({name}={value}): expected a whole number of at least 1")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How many batches of each split are read: a number, or as a float a fraction of them.

    Raises:
        UsageError: a limit is neither.
    """

    train: Limit = 1.0
    val: Limit = 1.0
    test: Limit = 1.0
    predict: Limit = 1.0

    def __post_init__(self) -> None:
        for split, limit in vars(self).items():
            if limit < 0 or (isinstance(limit, float) and limit > 1):
                raise UsageError(
                    f"Trainer(limit_{split}_batches={limit}): expected a whole number of batches, "
                    "or a fraction of them from 0.0 to 1.0"
                )

    def apply(self, split: str, loader: Loader) -> tuple[Loader, int | None]:
        """The loader of a split as `limited` gives it."""
        return limited(loader, getattr(self, split))


def limited(loader: Loader, limit: Limit) -> tuple[Loader, int | None]:
    """At most `limit` batches (a float is a fraction of them), and how many there will be if it is known.

    Returns:
        Something to iterate over anew each epoch, and its length; None for an iterable without one.

    Raises:
        UsageError: a fraction of an unknown number, or of less than one batch.
    """
    length = len(loader) if isinstance(loader, Sized) else None
    if limit == 1.0 and isinstance(limit, float):
        return loader, length
    if not isinstance(limit, float):
        count = limit if length is None else min(limit, length)
        return _First(loader, count), count
    if length is None:
        raise UsageError(f"a fraction of the batches ({limit}) needs a loader with a length; give a number")
    count = int(length * limit)
    if limit and length and not count:
        raise UsageError(
            f"{limit} of {length} batches is less than one; give a greater fraction, or a number"
        )
    return _First(loader, count), count


class _First:
    """The first batches of a loader, every time it is iterated over."""

    def __init__(self, loader: Loader, count: int) -> None:
        self._loader = loader
        self._count = count

    def __iter__(self) -> Iterator[object]:
        return islice(iter(self._loader), self._count)

    def __len__(self) -> int:
        return self._count
