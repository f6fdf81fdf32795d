"""The callbacks that a trainer has without being given any."""

from __future__ import annotations

from collections.abc import Sequence

from lifecycle.train.callbacks.base import Callback
from lifecycle.train.callbacks.model_checkpoint import ModelCheckpoint
from lifecycle.train.callbacks.progress import ProgressBar


def with_defaults(
    given: Callback | Sequence[Callback] | None, *, checkpoint: bool, bar: bool
) -> list[Callback]:
    """What was given, then a progress bar and a `ModelCheckpoint` where they are wanted and missing."""
    found = [given] if isinstance(given, Callback) else list(given or ())
    if bar and not any(isinstance(callback, ProgressBar) for callback in found):
        found.append(ProgressBar())
    if checkpoint and not any(isinstance(callback, ModelCheckpoint) for callback in found):
        found.append(ModelCheckpoint())
    return found
