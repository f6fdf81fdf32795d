"""The trainer and its states, under the name where code written for Lightning looks for them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from lifecycle.core.names import also_named

if TYPE_CHECKING:
    from lifecycle.train.trainer import Trainer
    from lifecycle.train.trainer_state import RunningStage, TrainerFn, TrainerState, TrainerStatus

__all__ = ["RunningStage", "Trainer", "TrainerFn", "TrainerState", "TrainerStatus"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(
            f"module 'lifecycle.trainer' has no attribute '{name}'; it offers: {', '.join(__all__)}"
        )
    home = "lifecycle.train.trainer" if name == "Trainer" else "lifecycle.train.trainer_state"
    return getattr(import_module(home), name)


also_named(__name__, ("states", "trainer"))
