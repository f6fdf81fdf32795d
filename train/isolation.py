"""Leaving random numbers alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def isolate_rng(include_cuda: bool = True) -> Iterator[None]:
    """Give the generators of Python, NumPy and torch back the states that they had before.

    Args:
        include_cuda: Those of CUDA devices too.
    """
    ours, numpys = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if include_cuda else ()
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(ours)
        np.random.set_state(numpys)
