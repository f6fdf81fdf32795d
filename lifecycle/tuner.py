"""Finding a learning rate and a batch size before a fit."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from lifecycle.core.names import also_named

if TYPE_CHECKING:
    from lifecycle.train.tuner import Tuner

__all__ = ["Tuner"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(
            f"module 'lifecycle.tuner' has no attribute '{name}'; it offers: {', '.join(__all__)}"
        )
    return getattr(import_module("lifecycle.train.tuner"), name)


also_named(__name__, ("tuning",))
