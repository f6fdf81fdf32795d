"""Callbacks: the trainer's, and compression's, which take part in training."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lifecycle.compress.callbacks import QuantizationAwareTraining, StructuredPruning
    from lifecycle.train.callbacks import Callback, ModelCheckpoint, ProgressBar

__all__ = ["Callback", "ModelCheckpoint", "ProgressBar", "QuantizationAwareTraining", "StructuredPruning"]

_HOME = {
    "Callback": "lifecycle.train.callbacks",
    "ModelCheckpoint": "lifecycle.train.callbacks",
    "ProgressBar": "lifecycle.train.callbacks",
    "QuantizationAwareTraining": "lifecycle.compress.callbacks",
    "StructuredPruning": "lifecycle.compress.callbacks",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(
            f"module 'lifecycle.callbacks' has no attribute '{name}'; it offers: {', '.join(__all__)}"
        )
    return getattr(import_module(_HOME[name]), name)
