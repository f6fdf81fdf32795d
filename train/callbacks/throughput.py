"""Reports how much is processed in a second."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lifecycle.train.callbacks.base import Callback
from lifecycle.train.callbacks.stopwatch import Stopwatch
from lifecycle.train.flops import available_flops
from lifecycle.train.throughput import Throughput

if TYPE_CHECKING:
    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer

__all__ = ["Throughput", "ThroughputMonitor"]


@dataclass(frozen=True)
class _Step:
    """Sums after a batch, and its operations."""

    batches: int
    samples: int
    lengths: int | None
    flops: int | None


@dataclass
class _Stage:
    """One stage's rates, its clock, and its sums so far."""

    throughput: Throughput
    watch: Stopwatch[_Step]
    batches: int = 0
    samples: int = 0
    lengths: int = 0

    def take(self, steps: Iterable[tuple[float, _Step]]) -> None:
        """Take steps whose times have become known."""
        for seconds, step in steps:
            self.throughput.update(time=seconds, **vars(step))

    def pause(self) -> None:
        """Stop the clock, once all steps are done."""
        self.watch.pause()
        self.take(self.watch.arrived())


class ThroughputMonitor(Callback):
    """Sends to the loggers how much is processed in a second.

    Names begin with the stage: ``train/device/samples_per_sec``. Operations are counted when the module has
    an attribute ``flops_per_batch`` (see `lifecycle.train.flops.measure_flops`).

    Args:
        batch_size_fn: Samples in a batch.
        length_fn: Items in a batch: words, pixels.
        window_size: Batches that rates are taken over.
        separator: Stands between the parts of a name.
    """

    def __init__(
        self,
        batch_size_fn: Callable[[Any], int],
        length_fn: Callable[[Any], int] | None = None,
        window_size: int = 100,
        separator: str = "/",
    ) -> None:
        self.batch_size_fn = batch_size_fn
        self.length_fn = length_fn
        self.window_size = window_size
        self.separator = separator
        self._stages: dict[str, _Stage] = {}

    def on_train_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Start the clock."""
        self._start("train", trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Module, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Count; report with steps that are logged, once their gradients are complete."""
        stage = self._count("train", pl_module, batch)
        complete = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if complete or batch_idx + 1 == trainer.num_training_batches:
            self._report("train", stage, trainer, trainer.batch_step)

    def on_validation_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Start validation's clock, and stop that of training for as long."""
        if trainer.sanity_checking:
            return
        if "train" in self._stages:
            self._stages["train"].pause()
        self._start("validate", trainer, pl_module)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: Module,
        outputs: object,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count, and report every ``log_every_n_steps`` batches."""
        if not trainer.sanity_checking:
            self._evaluated("validate", trainer, pl_module, batch)

    def on_validation_end(self, trainer: Trainer, pl_module: Module) -> None:
        """Let training's clock go on."""
        if not trainer.sanity_checking and "train" in self._stages:
            self._stages["train"].watch.resume()

    def on_test_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Start the clock."""
        self._start("test", trainer, pl_module)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: Module,
        outputs: object,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count, and report every ``log_every_n_steps`` batches."""
        self._evaluated("test", trainer, pl_module, batch)

    def on_predict_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Start the clock."""
        self._start("predict", trainer, pl_module)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: Module,
        outputs: object,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count, and report every ``log_every_n_steps`` batches."""
        self._evaluated("predict", trainer, pl_module, batch)

    def teardown(self, trainer: Trainer, pl_module: Module, stage: str) -> None:
        """Forget the clocks."""
        self._stages.clear()

    def _start(self, name: str, trainer: Trainer, module: Module) -> None:
        peak = available_flops(module.device, trainer.precision)
        rates = Throughput(peak, trainer.world_size, self.window_size, self.separator)
        self._stages[name] = _Stage(rates, Stopwatch(module.device))

    def _count(self, name: str, module: Module, batch: object) -> _Stage:
        stage = self._stages[name]
        stage.batches += 1
        stage.samples += self.batch_size_fn(batch)
        if self.length_fn is not None:
            stage.lengths += self.length_fn(batch)
        lengths = stage.lengths if self.length_fn is not None else None
        flops = getattr(module, "flops_per_batch", None)
        stage.watch.lap(_Step(stage.batches, stage.samples, lengths, flops))
        stage.take(stage.watch.arrived())
        return stage

    def _evaluated(self, name: str, trainer: Trainer, module: Module, batch: object) -> None:
        stage = self._count(name, module, batch)
        self._report(name, stage, trainer, stage.batches - 1)

    def _report(self, name: str, stage: _Stage, trainer: Trainer, step: int) -> None:
        every = trainer.log_every_n_steps
        if not every or (step + 1) % every or not trainer.is_global_zero:
            return
        metrics = {f"{name}{self.separator}{key}": rate for key, rate in stage.throughput.compute().items()}
        if metrics:
            trainer.log_metrics(metrics, step=step)
