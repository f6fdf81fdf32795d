"""Reports how busy the device is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lifecycle.core.errors import UsageError
from lifecycle.train.accelerators import CPUAccelerator
from lifecycle.train.callbacks.base import Callback

if TYPE_CHECKING:
    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer


class DeviceStatsMonitor(Callback):
    """Sends what the device is doing to the loggers, before and after each batch whose values are logged.

    Of a GPU these are torch's statistics of its memory, of the processor the percentages of time, memory and
    swap space in use. A name holds callback, hook and value:
    ``DeviceStatsMonitor.on_train_batch_end/cpu_percent``.

    Args:
        cpu_stats: Whether to report the processor: None for where the module computes on it.

    Raises:
        UsageError: in a fit, that the trainer has no logger.
    """

    def __init__(self, cpu_stats: bool | None = None) -> None:
        self._cpu_stats = cpu_stats
        self._processor = CPUAccelerator()

    def setup(self, trainer: Trainer, pl_module: Module, stage: str) -> None:
        """Refuse a trainer that would report nothing."""
        if stage == "fit" and not trainer.loggers:
            raise UsageError(
                "DeviceStatsMonitor reports to loggers, and the trainer has none: "
                "pass Trainer(logger=...) or take the callback out"
            )

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: Module, batch: object, batch_idx: int
    ) -> None:
        """Report, if the step is logged."""
        self._report(trainer, pl_module, "on_train_batch_start", trainer.batch_step)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Module, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Report, if the step is logged."""
        self._report(trainer, pl_module, "on_train_batch_end", trainer.batch_step)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: Module, batch: object, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Report every ``log_every_n_steps`` batches."""
        self._report(trainer, pl_module, "on_validation_batch_start", batch_idx)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: Module,
        outputs: object,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Report every ``log_every_n_steps`` batches."""
        self._report(trainer, pl_module, "on_validation_batch_end", batch_idx)

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: Module, batch: object, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Report every ``log_every_n_steps`` batches."""
        self._report(trainer, pl_module, "on_test_batch_start", batch_idx)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: Module,
        outputs: object,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Report every ``log_every_n_steps`` batches."""
        self._report(trainer, pl_module, "on_test_batch_end", batch_idx)

    def _report(self, trainer: Trainer, module: Module, hook: str, count: int) -> None:
        every = trainer.log_every_n_steps
        if trainer.sanity_checking or not every or (count + 1) % every:
            return
        device = module.device
        stats: dict[str, float] = {}
        if device.type != "cpu":
            stats |= trainer.accelerator.get_device_stats(device)
        if self._cpu_stats or (self._cpu_stats is None and device.type == "cpu"):
            stats |= self._processor.get_device_stats("cpu")
        if stats:
            prefix = f"{type(self).__qualname__}.{hook}/"
            trainer.log_metrics({prefix + name: value for name, value in stats.items()})
