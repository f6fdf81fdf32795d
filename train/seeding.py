"""Every random number of training follows from (seed, epoch, batch index).

Seeding anew for each batch costs microseconds where saving and restoring generator states costs
more than a hundred; it makes a resumed run draw what the undisturbed one drew, however the batches
before it were read.
"""

from __future__ import annotations

import logging
import os
import random
import warnings
from functools import cache, lru_cache

import numpy as np
import torch

from lifecycle.core.errors import UsageError

log = logging.getLogger(__name__)

_MASK = (1 << 64) - 1
_PYTHON: random.Random = random.seed.__self__  # type: ignore[attr-defined]  # the generator of `random`
_seed_python = super(random.Random, _PYTHON).seed  # `random.seed` for whole numbers, without its five calls


def seed_everything(seed: int | None = None, workers: bool = False, verbose: bool = True) -> int:
    """Seed the generators of Python, NumPy and torch, and with them every later fit.

    Args:
        seed: Left out, it is taken from the environment variable ``PL_GLOBAL_SEED``, and is 0 without it.
            Processes started from here find it there.
        workers: Makes no difference: what loaders' workers draw always follows from the seed of the fit.
        verbose: Log the seed.

    Raises:
        UsageError: it is no whole number.

    >>> seed_everything(7)
    7
    """
    if seed is None:
        seed = _seed_of_environment(verbose)
    try:
        seed = int(seed)
    except (TypeError, ValueError):
        raise UsageError(f"seed_everything({seed!r}): expected a whole number") from None
    if verbose:
        log.info("seed: %d", seed)
    os.environ["PL_GLOBAL_SEED"] = str(seed)
    os.environ["PL_SEED_WORKERS"] = str(int(workers))
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    torch.manual_seed(seed)
    return seed


def _seed_of_environment(verbose: bool) -> int:
    text = os.environ.get("PL_GLOBAL_SEED")
    if text is None:
        if verbose:
            warnings.warn("seed_everything() was given no seed, so it is 0", stacklevel=3)
        return 0
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"PL_GLOBAL_SEED={text!r} in the environment: expected a whole number") from None


def seed_batch(seed: int, epoch: int, index: int) -> None:
    """Seed all generators for one batch; index -1 stands for the epoch's own choices (the order of data)."""
    seed_all(_absorb(_mixed(seed, epoch), index) >> 1)


def seed_all(value: int) -> None:
    """Seed all generators of this process with a number that `mix` gave."""
    _seed_python(value)
    _PYTHON.gauss_next = None  # type: ignore[attr-defined]  # a second normal number waits there
    np.random.seed(value & 0xFFFFFFFF)
    torch.default_generator.manual_seed(value)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        for generator in torch.cuda.default_generators:
            generator.manual_seed(value)
    elif _has_mps():
        torch.mps.manual_seed(value)


def mix(*numbers: int) -> int:
    """Spread integers over 63 bits (SplitMix64's finalizer), so that neighbours share no stream.

    Source: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.

    >>> mix(7, 0, 1) == mix(7, 0, 1) != mix(7, 1, 0)
    True
    """
    state = 0
    for number in numbers:
        state = _absorb(state, number)
    return state >> 1


def _absorb(state: int, number: int) -> int:
    state = (state + number + 0x9E3779B97F4A7C15) & _MASK
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
    return state ^ (state >> 31)


@cache
def _has_mps() -> bool:
    return torch.backends.mps.is_available()


@lru_cache(maxsize=64)  # the batches of an epoch begin alike
def _mixed(seed: int, epoch: int) -> int:
    return _absorb(_absorb(0, seed), epoch)
