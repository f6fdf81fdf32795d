"""Callbacks of the trainer."""

from lifecycle.train.callbacks.base import Callback
from lifecycle.train.callbacks.model_checkpoint import ModelCheckpoint
from lifecycle.train.callbacks.progress import ProgressBar

__all__ = ["Callback", "ModelCheckpoint", "ProgressBar"]
