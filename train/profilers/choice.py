"""Which profiler a trainer has."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from lifecycle.core.errors import UsageError, suggest
from lifecycle.train.profilers.base import Profiler

_BY_NAME = {
    "advanced": ("advanced", "AdvancedProfiler"),
    "pytorch": ("operators", "PyTorchProfiler"),
    "simple": ("simple", "SimpleProfiler"),
}


def profiler_of(value: Profiler | str | None) -> Profiler | None:
    """The profiler that a trainer was asked to have; None for none.

    Args:
        value: ``"simple"``, ``"advanced"``, ``"pytorch"``, or a profiler.

    Raises:
        UsageError: it is none of these.
    """
    if value is None or isinstance(value, Profiler):
        return value
    if not isinstance(value, str) or value.lower() not in _BY_NAME:
        raise UsageError(
            f"profiler={value!r}: expected a name, or a lifecycle.profilers.Profiler",
            hint=suggest(str(value), _BY_NAME),
        )
    file, name = _BY_NAME[value.lower()]
    made = getattr(import_module(f"lifecycle.train.profilers.{file}"), name)()
    return cast("Profiler", made)
