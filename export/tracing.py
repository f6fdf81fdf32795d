"""Traces, and whether they are what forward does: a trace follows one way through every branch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from lifecycle.export.blame import is_users


@contextmanager
def recorded_trace() -> Iterator[list[str]]:
    """Collect where PyTorch doubts a trace made in here, in the user's own code; silence everything else.

    The list is filled when the block ends. Doubts about code of libraries are left to the proof: their
    branches are on shapes, and the proof varies those.
    """
    from torch.jit import TracerWarning  # type: ignore[attr-defined]

    doubts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield doubts
    for item in caught:
        if issubclass(item.category, TracerWarning) and is_users(item.filename):
            message = str(item.message).partition(".")[0].partition(" might cause")[0]
            doubts.append(f"{message} (at {item.filename}:{item.lineno})")
