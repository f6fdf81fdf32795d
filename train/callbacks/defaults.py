"""The callbacks that a trainer has without being given any, and their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lifecycle.core.errors import UsageError
from lifecycle.train.callbacks.base import Callback
from lifecycle.train.hooks import overrides


def with_defaults(
    given: object, *, checkpoint: bool, bar: bool, summary: bool, max_time: Any = None
) -> list[Callback]:
    """What was given, then what is wanted and missing: a checkpoint, a timer, a progress bar, a summary.

    Raises:
        UsageError: something that was given is no callback.
    """
    from lifecycle.train.callbacks.model_checkpoint import Checkpoint, ModelCheckpoint
    from lifecycle.train.callbacks.progress import ProgressBar
    from lifecycle.train.callbacks.rich_progress import RichProgressBar
    from lifecycle.train.callbacks.summary import ModelSummary
    from lifecycle.train.callbacks.timer import Timer

    found = callbacks_in(given)
    wanted: list[tuple[bool, type[Callback], type[Callback]]] = [
        (checkpoint, Checkpoint, ModelCheckpoint),
        (bar, ProgressBar, RichProgressBar),
        (summary, ModelSummary, ModelSummary),
    ]
    for enabled, family, default in wanted:
        if enabled and not any(isinstance(callback, family) for callback in found):
            found.append(default())
    if max_time is not None and not any(isinstance(callback, Timer) for callback in found):
        found.append(Timer(duration=max_time))
    return arranged(found, [])


def arranged(callbacks: Sequence[Callback], of_module: object) -> list[Callback]:
    """The callbacks in the order in which they run: those that save come last.

    Args:
        callbacks: The trainer's.
        of_module: The module's own, which replace the trainer's of the same type.
    """
    own = callbacks_in(of_module)
    kept = [c for c in callbacks if not any(type(c) is type(other) for other in own)]
    both = [*kept, *own]
    tuning = [c for c in both if c.tunes]
    rest = [c for c in both if not c.tunes]
    _tell_apart(both)
    return [*tuning, *(c for c in rest if not c.saves), *(c for c in rest if c.saves)]


def _tell_apart(callbacks: Sequence[Callback]) -> None:
    """Raise `UsageError` if a checkpoint would keep the states of two callbacks under one key."""
    keys: set[str] = set()
    for callback in callbacks:
        if not overrides(callback, "state_dict", Callback):
            continue
        if callback.state_key in keys:
            raise UsageError(
                f"two callbacks keep their state as {callback.state_key!r}: only one could be resumed",
                hint=f"Give {type(callback).__name__} a property state_key that tells its instances apart.",
            )
        keys.add(callback.state_key)


def callbacks_in(given: object) -> list[Callback]:
    """Callbacks in a list: of one, of several, or of none.

    Raises:
        UsageError: something that was given is no callback.
    """
    items = [given] if isinstance(given, Callback) else list(given or ())  # type: ignore[call-overload]
    for item in items:
        if not isinstance(item, Callback):
            raise UsageError(
                f"callbacks holds a {type(item).__name__}; write a class that derives from lifecycle.Callback"
            )
    return items
