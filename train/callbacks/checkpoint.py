"""What the trainer takes for a callback that saves checkpoints."""

from __future__ import annotations

from typing import ClassVar

from lifecycle.train.callbacks.base import Callback


class Checkpoint(Callback):
    """What a trainer takes for a callback that saves checkpoints; derive from it to write another.

    Attributes:
        dirpath: The folder that it saves to.
        best_model_path: The best of its files, ``""`` before there is one.
    """

    saves: ClassVar[bool] = True
    dirpath: str | None = None
    best_model_path: str = ""
