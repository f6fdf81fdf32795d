"""The learning rate range test: raise the rate with every step, and see where the loss falls and blows up.

Source: Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor
from torch.optim import Optimizer

from lifecycle.core.errors import UsageError, suggest
from lifecycle.train.callbacks.base import Callback
from lifecycle.train.rehearsal import Rehearsal, untouched
from lifecycle.train.state import FitState

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lifecycle.train.module import Module
    from lifecycle.train.strategies import Strategy
    from lifecycle.train.trainer import Trainer

log = logging.getLogger(__name__)

Mode = Literal["exponential", "linear"]
MODES = ("exponential", "linear")
_SMOOTHING = 0.98


class LRFinder:
    """What a range test found.

    Args:
        mode: How rates grow: ``exponential`` or ``linear``.
        lr_min: The first.
        lr_max: The last, unless the loss diverges before.
        num_training: How many.

    Attributes:
        results: ``lr`` and ``loss`` (smoothed), one value for each step.

    Raises:
        UsageError: `mode` is neither.
    """

    def __init__(self, mode: str, lr_min: float, lr_max: float, num_training: int) -> None:
        if mode not in MODES:
            raise UsageError(f"a range test has no mode {mode!r}: {suggest(str(mode), MODES)}")
        self.mode = mode
        self.lr_min = lr_min
        self.lr_max = lr_max
        self.num_training = num_training
        self.results: dict[str, list[float]] = {"lr": [], "loss": []}
        self._optimal_idx: int | None = None

    def rate(self, step: int) -> float:
        """The learning rate of a step, from 0.

        >>> finder = LRFinder("exponential", 1e-4, 1.0, 4)
        >>> [round(finder.rate(step), 6) for step in range(4)]
        [0.0001, 0.01, 0.1, 1.0]
        """
        # Lightning's steps: the second is as far from the first as two others.
        part = (step + 1) / self.num_training if step else 0.0
        if self.mode == "linear":
            return self.lr_min + part * (self.lr_max - self.lr_min)
        return float(self.lr_min * (self.lr_max / self.lr_min) ** part)

    def suggestion(self, skip_begin: int = 10, skip_end: int = 1) -> float | None:
        """The rate at which the loss falls most steeply; None when there are too few points to tell.

        Args:
            skip_begin: Points at the beginning that do not count: few values make a rough average.
            skip_end: Points at the end that do not count.
        """
        count = len(self.results["loss"])
        kept = [
            index
            for index in range(skip_begin, count - skip_end)
            if math.isfinite(self.results["loss"][index])
        ]
        if len(kept) < 2:
            log.error(
                "no learning rate can be suggested from %d of %d points: raise num_training, or give "
                "the test more batches",
                len(kept),
                count,
            )
            self._optimal_idx = None
            return None
        losses = torch.tensor([self.results["loss"][index] for index in kept])
        rates = torch.tensor([self.results["lr"][index] for index in kept])
        slopes = torch.gradient(losses, spacing=[rates])[0]
        self._optimal_idx = kept[int(slopes.argmin())]
        return self.results["lr"][self._optimal_idx]

    def plot(self, suggest: bool = False, show: bool = False, ax: Axes | None = None) -> Any:
        """Draw loss against rate; returns the figure.

        Args:
            suggest: Mark what `suggestion` gives.
            show: Show the figure too.
            ax: Draw here rather than in a new figure.

        Raises:
            UsageError: matplotlib is not installed.
        """
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise UsageError("a plot needs matplotlib", hint="pip install matplotlib") from error
        axes = plt.subplots()[1] if ax is None else ax
        rates, losses = self.results["lr"], self.results["loss"]
        axes.plot(rates, losses)
        if self.mode == "exponential":
            axes.set_xscale("log")
        axes.set_xlabel("Learning rate")
        axes.set_ylabel("Loss")
        if suggest and self.suggestion() is not None:
            assert self._optimal_idx is not None
            at = self._optimal_idx
            axes.plot(rates[at], losses[at], markersize=10, marker="o", color="red")
        if show:
            plt.show()
        return axes.figure


class _Watch(Callback):
    """Sets the rate before each window of batches, and notes the loss after it."""

    def __init__(
        self, finder: LRFinder, optimizer: Optimizer, threshold: float | None, strategy: Strategy
    ) -> None:
        self.finder = finder
        self.strategy = strategy
        self.optimizer = optimizer
        self.threshold = threshold
        self.state = FitState()
        self.average = self.best = 0.0
        self.window: list[Tensor] = []

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: Module, batch: object, batch_idx: int
    ) -> None:
        """Set the rate."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.finder.rate(self.state.global_step)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Module, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Note the loss; stop when it diverges."""
        loss = cast("Mapping[str, Tensor]", outputs).get("loss")
        if loss is not None:
            self.window.append(loss)
        if self.state.pending:
            return
        step, results = self.state.global_step, self.finder.results
        results["lr"].append(self.finder.rate(step - 1))
        # A step without a loss must not shift the others.
        smoothed = self._smoothed(step) if self.window else math.nan
        results["loss"].append(smoothed)
        self.window = []
        worst = None if self.threshold is None else self.threshold * self.best
        if worst is not None and step > 1 and smoothed > worst:
            self.state.should_stop = True
            log.info("the range test ended after %d steps: the loss diverged", step)
        if step == 1 or smoothed < self.best:
            self.best = smoothed

    def _smoothed(self, step: int) -> float:
        # The mean over all processes, added up in one order by each: they come to the same decisions.
        values = self.strategy.gathered(float(torch.stack(self.window).sum()))
        value = sum(values) / len(values)
        self.average = _SMOOTHING * self.average + (1 - _SMOOTHING) * value
        return self.average / (1 - _SMOOTHING ** (step + 1))


def range_test(
    trainer: Trainer,
    module: Module,
    loaders: object,
    *,
    min_lr: float,
    max_lr: float,
    num_training: int,
    mode: str,
    early_stop_threshold: float | None,
) -> LRFinder:
    """Train with a learning rate that grows, then put everything back.

    Args:
        trainer: In whose fit this is; its optimizers are made already.
        module: What is trained.
        loaders: What it is trained on.
        min_lr: The first rate.
        max_lr: The last.
        num_training: Steps.
        mode: ``exponential`` or ``linear``.
        early_stop_threshold: End when the loss is greater than the least so far times this; None never does.

    Raises:
        UsageError: there is not exactly one optimizer, or optimization is manual.
    """
    finder = LRFinder(mode, min_lr, max_lr, num_training)
    optimizers: Sequence[Optimizer] = trainer.optimizers
    if len(optimizers) != 1:
        raise UsageError(f"a range test works with one optimizer, and there are {len(optimizers)}")
    watch = _Watch(finder, optimizers[0], early_stop_threshold, trainer.strategy)
    rehearsal = Rehearsal(trainer, module, watch)
    with untouched(trainer, module):
        rehearsal.run(rehearsal.feed(loaders), steps=num_training, state=watch.state)
    return finder
