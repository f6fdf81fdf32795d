"""Compression as part of a fit: the functions do the work, these decide when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lifecycle.compress.channels import ChannelEdit, prune_channels_
from lifecycle.compress.qat import QuantizationAwareTraining
from lifecycle.train.callbacks.base import Callback
from lifecycle.train.describe import example_inputs

if TYPE_CHECKING:
    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer

__all__ = ["QuantizationAwareTraining", "StructuredPruning"]


class StructuredPruning(Callback):
    """Remove channels before a fit, which then fine-tunes what is left.

    It happens in `setup`: the optimizer is made afterwards and knows only the new parameters.

    Args:
        macs: Multiply-accumulates that may remain, as a fraction.
        importance: A name of `lifecycle.compress.importance.IMPORTANCE`.
        round_to: Keep channel counts multiples of this.
        ignore: Names or glob patterns of modules whose layers keep their output channels.
        seed: For ``importance="random"``.

    Attributes:
        edit: What was removed; None before the fit.
    """

    def __init__(
        self,
        *,
        macs: float,
        importance: str = "magnitude",
        round_to: int = 8,
        ignore: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        self.macs = macs
        self.importance = importance
        self.round_to = round_to
        self.ignore = ignore
        self.seed = seed
        self.edit: ChannelEdit | None = None

    def setup(self, trainer: Trainer, pl_module: Module, stage: str) -> None:
        """Prune, before the first fit only."""
        if stage == "fit" and self.edit is None:
            self.edit = prune_channels_(
                pl_module,
                example_inputs(pl_module),
                macs=self.macs,
                importance=self.importance,
                round_to=self.round_to,
                ignore=self.ignore,
                seed=self.seed,
            )
