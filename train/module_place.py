"""What a module may ask about where it is: in which process, epoch and step, on which device."""

from __future__ import annotations

from typing import Any

import torch

from lifecycle.train.manual import ManualOptimization


class PlacedModule(ManualOptimization):
    """The part of a module that knows where it is; without a trainer, in the one process there is."""

    def all_gather(self, data: Any, group: object = None, sync_grads: bool = False) -> Any:
        """Values of all processes along a new first axis; with one process, the data itself.

        Args:
            data: A tensor or a number, or such in lists, tuples and dictionaries.
            group: Of processes; all by default.
            sync_grads: Whether gradients flow back to the processes.
        """
        if self.trainer is None:
            return data
        return self.trainer.strategy.all_gather(data, group=group, sync_grads=sync_grads)

    @property
    def current_epoch(self) -> int:
        """The epoch at work; 0 without a trainer."""
        return self.trainer.current_epoch if self.trainer else 0

    @property
    def global_step(self) -> int:
        """Optimizer steps so far; 0 without a trainer."""
        return self.trainer.global_step if self.trainer else 0

    @property
    def global_rank(self) -> int:
        """Index of this process among all."""
        return self.trainer.global_rank if self.trainer else 0

    @property
    def local_rank(self) -> int:
        """Index of this process on its machine."""
        return self.trainer.local_rank if self.trainer else 0

    @property
    def logger(self) -> Any:
        """The trainer's first logger, or None."""
        return self.trainer.logger if self.trainer else None

    @property
    def loggers(self) -> list[Any]:
        """The trainer's loggers."""
        return self.trainer.loggers if self.trainer else []

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next((p.device for p in self.parameters()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """Of the first floating parameter."""
        return next((p.dtype for p in self.parameters() if p.is_floating_point()), torch.get_default_dtype())

    @property
    def on_gpu(self) -> bool:
        """Whether the parameters are on a CUDA device."""
        return self.device.type == "cuda"
