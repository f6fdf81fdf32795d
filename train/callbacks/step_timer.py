"""Reports where the time of training steps goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from lifecycle.core.errors import UsageError
from lifecycle.core.memory import peak_resident_bytes
from lifecycle.train.batch import tensors
from lifecycle.train.callbacks.base import Callback
from lifecycle.train.flops import StepFlops, available_flops
from lifecycle.train.phases import VALIDATION, PhaseClock, PhaseTimes
from lifecycle.train.step_report import RankReport, StepReport
from lifecycle.train.step_table import show

if TYPE_CHECKING:
    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer

COMPUTING = ("forward", "backward")


class StepTimer(Callback):
    """Splits the time of training steps: waiting for data, transfer, forward, backward, optimizer, the rest.

    Sends it to the loggers with steps that are logged, with throughput, memory and, where they are known,
    the share of the device's operations that was used (``time/forward_ms``, ``throughput/samples_per_sec``,
    ``throughput/mfu``, ``memory/resident_peak_mb``); shows a table when training has ended. Of several
    processes it names the slowest: they exchange a few numbers then, and at no other time.

    ``backward`` holds the exchange of gradients, ``optimizer`` also the clearing and clipping of gradients,
    ``rest`` what hooks, loggers and checkpoints take. In manual optimization ``forward`` is all of
    ``training_step`` but ``manual_backward`` and the steps of ``self.optimizers()``. Operations are counted
    in the first batch, unless the module says how many there are in ``flops_per_batch``; work that
    activation checkpointing does anew counts. On a GPU times are those at which it came to each part, and
    nobody waits for it before the end.

    Args:
        peak_flops: What a device can do in a second, in the precision that is used; by default from a table
            of GPUs, as far as it knows them.
        batch_size_fn: Samples in a batch; by default the first axis of its first tensor.
        warmup: So many first batches do not count.

    Attributes:
        report: Of the fit, once training has ended.

    Raises:
        UsageError: an argument is not what it may be; says what is.
    """

    times: ClassVar[bool] = True

    def __init__(
        self,
        peak_flops: float | None = None,
        batch_size_fn: Callable[[Any], int] | None = None,
        warmup: int = 1,
    ) -> None:
        if peak_flops is not None and not (isinstance(peak_flops, int | float) and peak_flops > 0):
            raise UsageError(
                f"StepTimer(peak_flops={peak_flops!r}): expected operations a second, as 989.5e12, or None"
            )
        if type(warmup) is not int or warmup < 0:
            raise UsageError(f"StepTimer(warmup={warmup!r}): expected a whole number of at least 0")
        self.peak_flops = peak_flops
        self.batch_size_fn = batch_size_fn or _first_axis
        self.warmup = warmup
        self.report: StepReport | None = None
        self._clock: PhaseClock | None = None
        self._flops = StepFlops()
        self._peak: float | None = None

    def on_train_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Start the clock."""
        device = pl_module.device
        self._peak = self.peak_flops or available_flops(device, trainer.precision)
        self._flops = StepFlops(wanted=self._peak is not None)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        self.report = None
        self._clock = PhaseClock(device, self.warmup)

    def phase_begins(self, name: str) -> None:
        """A part of a step begins."""
        if self._clock is None:
            return
        self._clock.begin(name)
        if name in COMPUTING:
            self._flops.begin()

    def phase_ends(self, name: str) -> None:
        """The part that began last ends."""
        if self._clock is None:
            return
        if name in COMPUTING:
            self._flops.end()
        self._clock.end()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Module, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Count; report with steps that are logged, once their gradients are complete."""
        if self._clock is None:
            return
        samples = self.batch_size_fn(batch)
        self._flops.settle(getattr(pl_module, "flops_per_batch", None), samples)
        self._clock.batch(samples)
        every, step = trainer.log_every_n_steps, trainer.batch_step
        complete = (batch_idx + 1) % trainer.accumulate_grad_batches == 0 or trainer.is_last_batch
        if trainer.loggers and every and complete and (step + 1) % every == 0:
            found = self._exchanged(trainer, self._clock.recent)
            self._clock.recent = PhaseTimes()
            if trainer.is_global_zero and all(rank.times.batches for rank in found.ranks):
                trainer.log_metrics(found.metrics(), step=step)

    def on_validation_start(self, trainer: Trainer, pl_module: Module) -> None:
        """A validation is no part of a step."""
        if self._clock is not None:
            self._clock.begin(VALIDATION)

    def on_validation_end(self, trainer: Trainer, pl_module: Module) -> None:
        """Go on with the step."""
        if self._clock is not None:
            self._clock.end()

    def on_train_end(self, trainer: Trainer, pl_module: Module) -> None:
        """Wait for the device, and show where the time went."""
        if self._clock is None:
            return
        self._clock.take(wait=True)
        found = self._exchanged(trainer, self._clock.total)
        self._clock = None
        if all(rank.times.batches for rank in found.ranks):
            self.report = found
            if trainer.is_global_zero:
                show(found, self._advice(pl_module))

    def on_exception(self, trainer: Trainer, pl_module: Module, exception: BaseException) -> None:
        """Count no further."""
        self._clock = None

    def _exchanged(self, trainer: Trainer, times: PhaseTimes) -> StepReport:
        own = RankReport(
            times=times,
            flops_per_sample=self._flops.per_sample,
            memory=_memory(trainer.strategy.root_device),
        )
        # On the processor: a GPU's work need not be done.
        numbers = torch.tensor(own.packed(), dtype=torch.float64)
        ranks = trainer.strategy.stacked(numbers)
        return StepReport(ranks=tuple(map(RankReport.unpacked, ranks.tolist())), peak_flops=self._peak)

    def _advice(self, module: Module) -> list[str]:
        """What the table does not tell."""
        found = []
        if not module.automatic_optimization:
            found.append(
                "manual optimization: forward is all of training_step but manual_backward and optimizer steps"
            )
        return found


def _first_axis(batch: object) -> int:
    found = next(tensors(batch), None)
    return int(found.shape[0]) if found is not None and found.ndim else 1


def _memory(device: torch.device) -> dict[str, float]:
    found = {"resident": float(peak_resident_bytes())}
    if device.type == "cuda":
        found["allocated"] = torch.cuda.max_memory_allocated(device)
        found["reserved"] = torch.cuda.max_memory_reserved(device)
    return found
