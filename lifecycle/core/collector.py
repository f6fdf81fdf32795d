"""Keeps Python's search for cyclic garbage away from what is imported, which stays for good anyway.

MLflow makes hundreds of thousands of objects while it is imported. They are looked through again and again
meanwhile, and once more when the process ends: almost half of the processor time of a run that is all cached.
"""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager

_own_process: list[bool] = []


def own_process() -> None:
    """This process runs one command and ends: what was made by then need not be looked through again."""
    if not _own_process:
        _own_process.append(True)
        atexit.register(gc.freeze)


@contextmanager
def resting() -> Iterator[None]:
    """No search while something large is imported; in a process of our own, none among that later either.

    Elsewhere, in a notebook say, nothing is put out of the collector's sight: it may be garbage that holds
    a model.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        if _own_process:
            gc.freeze()
