"""Hands predictions to whoever writes them down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from lifecycle.core.errors import UsageError, suggest
from lifecycle.train.callbacks.base import Callback
from lifecycle.train.nested import map_tensors

if TYPE_CHECKING:
    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer

_INTERVALS = ("batch", "epoch", "batch_and_epoch")


class BasePredictionWriter(Callback):
    """Derive from it and override `write_on_batch_end`, `write_on_epoch_end`, or both.

    With ``trainer.predict(..., return_predictions=False)`` and the interval ``batch`` no more than one
    batch of predictions is kept in memory.

    Args:
        write_interval: ``batch``, ``epoch`` or ``batch_and_epoch``: which of the two is called.

    Raises:
        UsageError: `write_interval` is none of these.
    """

    def __init__(self, write_interval: Literal["batch", "epoch", "batch_and_epoch"] = "batch") -> None:
        if write_interval not in _INTERVALS:
            raise UsageError(
                f"{type(self).__name__}(write_interval={write_interval!r}): "
                f"{suggest(str(write_interval), _INTERVALS)}"
            )
        self.interval = write_interval
        self._predictions: list[list[Any]] = []

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: Module,
        prediction: Any,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write what was predicted for one batch.

        Args:
            trainer: At work.
            pl_module: What predicted.
            prediction: What its ``predict_step`` returned.
            batch_indices: Which samples of the data set the batch consists of; none where the loader gives
                no indices.
            batch: What was predicted from.
            batch_idx: Its place among those of its loader.
            dataloader_idx: The loader's place among all.
        """
        raise UsageError(f"{type(self).__name__} defines no write_on_batch_end")

    def write_on_epoch_end(
        self, trainer: Trainer, pl_module: Module, predictions: Sequence[Any], batch_indices: Sequence[Any]
    ) -> None:
        """Write everything that was predicted.

        Args:
            trainer: At work.
            pl_module: What predicted.
            predictions: What ``predict_step`` returned for each batch, on the processor; with several
                loaders in a list for each.
            batch_indices: For each loader, which samples of the data set each batch consists of.
        """
        raise UsageError(f"{type(self).__name__} defines no write_on_epoch_end")

    def on_predict_epoch_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Begin with nothing."""
        self._predictions = [[] for _ in trainer.num_predict_batches]

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: Module,
        outputs: object,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Have it written, or keep it for the end."""
        if self.interval != "batch":
            self._predictions[dataloader_idx].append(map_tensors(outputs, Tensor.cpu))
        if self.interval != "epoch":
            known = trainer.predict_batch_indices[dataloader_idx]
            indices = known[batch_idx] if known else []
            self.write_on_batch_end(trainer, pl_module, outputs, indices, batch, batch_idx, dataloader_idx)

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: Module) -> None:
        """Have all of it written."""
        if self.interval != "batch":
            predictions, self._predictions = self._predictions, []
            indices = [list(known) for known in trainer.predict_batch_indices]
            found = predictions[0] if len(predictions) == 1 else predictions
            self.write_on_epoch_end(trainer, pl_module, found, indices)
