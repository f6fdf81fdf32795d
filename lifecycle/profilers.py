"""Profilers of the trainer."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from lifecycle.core.names import also_named

if TYPE_CHECKING:
    from lifecycle.train.profilers import (
        AdvancedProfiler,
        PassThroughProfiler,
        Profiler,
        PyTorchProfiler,
        SimpleProfiler,
    )

__all__ = ["AdvancedProfiler", "PassThroughProfiler", "Profiler", "PyTorchProfiler", "SimpleProfiler"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(
            f"module '{__name__}' has no attribute '{name}'; it offers: {', '.join(__all__)}"
        )
    return getattr(import_module("lifecycle.train.profilers"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


also_named(
    __name__,
    (
        "advanced",
        "profiler",
        "pytorch",
        "simple",
    ),
)
