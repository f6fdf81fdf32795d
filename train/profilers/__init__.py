"""Profilers of the trainer; each is loaded when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lifecycle.train.profilers.advanced import AdvancedProfiler
    from lifecycle.train.profilers.base import Profiler
    from lifecycle.train.profilers.choice import profiler_of
    from lifecycle.train.profilers.operators import PyTorchProfiler
    from lifecycle.train.profilers.pass_through import PassThroughProfiler
    from lifecycle.train.profilers.simple import SimpleProfiler

__all__ = [
    "AdvancedProfiler",
    "PassThroughProfiler",
    "Profiler",
    "PyTorchProfiler",
    "SimpleProfiler",
    "profiler_of",
]

# Where each is defined: a file of this folder.
_HOME = {
    "AdvancedProfiler": "advanced",
    "PassThroughProfiler": "pass_through",
    "Profiler": "base",
    "PyTorchProfiler": "operators",
    "SimpleProfiler": "simple",
    "profiler_of": "choice",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(
            f"module '{__name__}' has no attribute '{name}'; it offers: {', '.join(__all__)}"
        )
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
