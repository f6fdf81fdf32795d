"""Callbacks of training that a pipeline file may name: ``callbacks: [StepTimer, {EarlyStopping: {…}}]``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import lifecycle
from lifecycle.core.errors import UsageError, suggest
from lifecycle.core.reference import Reference

if TYPE_CHECKING:
    from lifecycle.train.callbacks import Callback

Named: TypeAlias = "str | Mapping[str, Mapping[str, Any]]"

_HOME = "lifecycle.train.callbacks"
ALLOWED = {
    "DeviceStatsMonitor": Reference(f"{_HOME}.device_stats:DeviceStatsMonitor"),
    "EarlyStopping": Reference(f"{_HOME}.early_stopping:EarlyStopping"),
    "LearningRateMonitor": Reference(f"{_HOME}.lr_monitor:LearningRateMonitor"),
    "StepTimer": Reference(f"{_HOME}.step_timer:StepTimer"),
}
# They watch, and change no result.
WATCHING = ("DeviceStatsMonitor", "LearningRateMonitor", "StepTimer")


def check_callbacks(given: object) -> list[Named]:
    """What a pipeline file says, checked without importing anything that trains.

    Raises:
        UsageError: something is no callback that may be named, or takes no such argument.
    """
    if not isinstance(given, list | tuple):
        raise UsageError(
            f"trainer.callbacks is {given!r}: expected a list of names, as in [StepTimer], or of names with "
            "arguments, as in [{EarlyStopping: {monitor: val_loss}}]"
        )
    for name, arguments in _each(given):
        if name not in ALLOWED:
            raise UsageError(f"trainer.callbacks names '{name}': {suggest(name, ALLOWED)}")
        ALLOWED[name].check(Path(lifecycle.__file__).parent.parent, arguments)
    return list(given)


def counted_callbacks(given: Sequence[Named]) -> list[Named]:
    """Those that can change a result."""
    return [each for each in given if next(_each([each]))[0] not in WATCHING]


def make_callbacks(given: Sequence[Named]) -> list[Callback]:
    """The callbacks."""
    import lifecycle.train.callbacks as known

    return [getattr(known, name)(**arguments) for name, arguments in _each(given)]


def _each(given: Sequence[object]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for each in given:
        if isinstance(each, str):
            yield each, {}
            continue
        items = list(each.items()) if isinstance(each, Mapping) else []
        if len(items) != 1 or not isinstance(items[0][1] or {}, Mapping):
            raise UsageError(
                f"trainer.callbacks holds {each!r}: expected a name, or one name with its arguments, as in "
                "{EarlyStopping: {monitor: val_loss}}"
            )
        name, arguments = items[0]
        yield str(name), cast("Mapping[str, Any]", arguments or {})
