"""Runs taken in turn in one process, so that what else the machine does falls on all of them."""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.metadata import version
from io import StringIO
from typing import Any

import lifecycle

Run = Callable[[], None]
OURS, LIGHTNING = "ours", "Lightning"


def ratios(
    runs: Mapping[str, Run], repeats: int, every: Mapping[str, int] | None = None
) -> dict[str, list[float]]:
    """Time of each over the first, in every repetition.

    Args:
        runs: What is timed, the one that is compared with first.
        repeats: How often.
        every: In every how many repetitions one that takes long has its turn; 1 for those that are not named.
    """
    found: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for repetition in range(repeats):
        times = {}
        for name, run in runs.items():
            if repetition % (every or {}).get(name, 1):
                continue
            start = time.perf_counter()
            run()
            times[name] = time.perf_counter() - start
        first = next(iter(times.values()))
        for name, taken in times.items():
            found[name].append(taken / first)
    return found


@contextmanager
def quiet() -> Iterator[None]:
    """Bars and summaries are drawn, but nowhere."""
    with redirect_stderr(StringIO()), redirect_stdout(StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def frameworks() -> dict[str, Any]:
    """Ours, and Lightning where it is installed."""
    found: dict[str, Any] = {OURS: lifecycle}
    try:
        import lightning.pytorch as lightning
    except ImportError:
        print("Lightning is not installed: `make bench` installs it", file=sys.stderr)
    else:
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        found[LIGHTNING] = lightning
    return found


def title_of(name: str) -> str:
    """A framework as figures name it."""
    return f"Lightning {version('lightning')}" if name == LIGHTNING else "lifecycle"
