"""What the trainer's arguments mean: checked, with defaults filled in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

from lifecycle.core.errors import UsageError, suggest
from lifecycle.train.limits import Limit
from lifecycle.train.optim import CLIPPING
from lifecycle.train.precision import Precision

if TYPE_CHECKING:
    from lifecycle.train.callbacks import Callback

Duration: TypeAlias = "str | timedelta | Mapping[str, int]"


def off(barebones: bool, **given: object) -> bool:
    """Whether a feature is to be off because of ``barebones``.

    Raises:
        UsageError: it was asked for at the same time.
    """
    if not barebones:
        return False
    for name, value in given.items():
        if value is not None and value is not False and value != 0:
            raise UsageError(
                f"Trainer(barebones=True, {name}={value!r}): barebones switches off whatever costs time; "
                f"leave {name} out"
            )
    return True


def at_least(least: int, **counts: int | None) -> None:
    """Raise `UsageError` unless each of these arguments of the trainer is a whole number from `least` on."""
    for name, value in counts.items():
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise UsageError(f"Trainer({name}={value!r}): expected a whole number of at least {least}")


def limit(name: str, value: Limit | None) -> Limit:
    """A number of batches or a fraction of them; None for all.

    Raises:
        UsageError: it is neither.
    """
    if value is None:
        return 1.0
    whole = isinstance(value, int) or value > 1
    if value < 0 or (whole and value != int(value)):
        raise UsageError(
            f"Trainer({name}={value!r}): expected a whole number of batches, "
            "or a fraction of them from 0.0 to 1.0"
        )
    return int(value) if whole else value


def seconds(name: str, value: Duration) -> float:
    """A duration: ``"DD:HH:MM:SS"``, a timedelta, or a dictionary of its arguments.

    >>> seconds("max_time", "00:01:30:00")
    5400.0

    Raises:
        UsageError: it is none of them.
    """
    try:
        if isinstance(value, str):
            days, hours, minutes, rest = (int(part) for part in value.strip().split(":"))
            value = timedelta(days=days, hours=hours, minutes=minutes, seconds=rest)
        elif isinstance(value, Mapping):
            value = timedelta(**value)
        return value.total_seconds()
    except (ValueError, TypeError, AttributeError):
        raise UsageError(
            f"{name}={value!r}: expected \"DD:HH:MM:SS\", a timedelta, or a dictionary such as {{'hours': 1}}"
        ) from None


def epochs_of(max_epochs: int | None, max_steps: int, *, timed: bool) -> int | None:
    """The number of epochs: None for no end, where steps or the clock end the fit."""
    at_least(-1, max_epochs=max_epochs, max_steps=max_steps)
    if max_epochs is None:
        return None if max_steps != -1 or timed else 1000
    return None if max_epochs == -1 else max_epochs


def check_clipping(value: object, algorithm: str | None) -> None:
    """Raise `UsageError` unless these are a size and ``norm`` or ``value``."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
        raise UsageError(f"Trainer(gradient_clip_val={value!r}): expected a number from 0 on, or None")
    if algorithm is not None and algorithm.lower() not in CLIPPING:
        raise UsageError(f"Trainer(gradient_clip_algorithm={algorithm!r}): {suggest(algorithm, CLIPPING)}")


def check_interval(interval: object, every_n_epochs: int | None) -> None:
    """Raise `UsageError` if validations are to come after a fraction of an epoch and epochs do not count."""
    if every_n_epochs is None and isinstance(interval, float):
        raise UsageError(
            f"Trainer(val_check_interval={interval!r}, check_val_every_n_epoch=None): batches are counted "
            "across epochs, so a fraction of an epoch says nothing",
            hint="Give a whole number of batches or a time.",
        )


def check_callbacks(callbacks: Sequence[Callback], *, checkpointing: bool, bar: bool) -> None:
    """Raise `UsageError` if callbacks contradict the trainer's switches, or there are two progress bars.

    Args:
        callbacks: Those that were passed.
        checkpointing: Whether checkpoints are wanted.
        bar: Whether a progress bar is.
    """
    from lifecycle.train.callbacks import Checkpoint, ProgressBar

    for kind, wanted, switch in (
        (Checkpoint, checkpointing, "enable_checkpointing"),
        (ProgressBar, bar, "enable_progress_bar"),
    ):
        found = [type(callback).__name__ for callback in callbacks if isinstance(callback, kind)]
        if found and not wanted:
            raise UsageError(
                f"Trainer({switch}=False) was given a {found[0]} among its callbacks: say one of them"
            )
        if kind is ProgressBar and len(found) > 1:
            raise UsageError(
                f"there are {len(found)} progress bars among the callbacks ({', '.join(found)}): give one"
            )


def precision_among(precision: object, plugins: object) -> object:
    """What ``precision`` says, or the precision among the plug-ins.

    Raises:
        UsageError: both say something, or a plug-in is of another kind.
    """
    items = plugins if isinstance(plugins, list | tuple) else [] if plugins is None else [plugins]
    for item in items:
        if not isinstance(item, Precision):
            raise UsageError(
                f"Trainer(plugins=…) holds a {type(item).__name__}; this version takes a precision only"
            )
        if precision is not None or len(items) > 1:
            raise UsageError("Trainer(precision=…, plugins=…): say once in which types to compute")
        return item
    return precision


def every_n_batches(interval: Limit, num_batches: int | None, *, bounded: bool) -> int | None:
    """After how many batches to validate; None at the end of an epoch.

    Args:
        interval: ``val_check_interval``: a number of batches, or a fraction of an epoch.
        num_batches: Batches of an epoch, if known.
        bounded: Whether an epoch must have so many: it validates, and batches are not counted over epochs.

    Raises:
        UsageError: that many batches there are not.
    """
    if isinstance(interval, int):
        if num_batches is not None and interval > num_batches and bounded:
            raise UsageError(
                f"Trainer(val_check_interval={interval}): an epoch has only {num_batches} training batches",
                hint="Pass check_val_every_n_epoch=None to count batches across epochs.",
            )
        return interval
    if num_batches is None:
        if interval == 1.0:
            return None
        raise UsageError(
            f"Trainer(val_check_interval={interval}): a fraction of an epoch needs a loader with a length; "
            "give a number of batches"
        )
    if interval == 1.0:
        return None
    return max(1, math.floor(num_batches * interval))
