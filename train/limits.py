"""How many of a loader's batches are read."""

from __future__ import annotations

from typing import TypeAlias

from lifecycle.core.errors import UsageError

Limit: TypeAlias = int | float


def limited(length: int | None, limit: Limit, split: str) -> int | None:
    """How many batches there are under a limit: a whole number of them, or as a float a fraction.

    Args:
        length: How many there are without it; None when that is not known before the end.
        limit: 1.0 stands for all, 1 for one.
        split: Names the option in errors: ``train``, ``val``, ``test`` or ``predict``.

    Raises:
        UsageError: a fraction of an unknown number, or of less than one batch.

    >>> limited(10, 0.25, "train"), limited(10, 99, "train"), limited(None, 3, "val")
    (2, 10, 3)
    """
    if not isinstance(limit, float):
        return limit if length is None else min(limit, length)
    if length is None:
        if limit == 1.0:
            return None
        raise UsageError(
            f"limit_{split}_batches={limit} is a fraction, and the {split} loader has no length: "
            "give a whole number of batches"
        )
    count = int(length * limit)
    if limit and length and not count:
        raise UsageError(
            f"limit_{split}_batches={limit} of {length} batches is less than one: "
            f"give a fraction of at least 1/{length}, or a whole number of batches"
        )
    return count
