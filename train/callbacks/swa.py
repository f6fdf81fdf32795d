"""Stochastic weight averaging: the mean of the weights along the end of a fit.

Source: Izmailov, Podoprikhin, Garipov, Vetrov and Wilson, "Averaging Weights Leads to Wider Optima and
Better Generalization", UAI 2018.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import SWALR

from lifecycle.core.errors import UsageError, suggest
from lifecycle.train.callbacks.base import Callback
from lifecycle.train.feed import feed_of
from lifecycle.train.metrics import Logbook
from lifecycle.train.optim import Schedule
from lifecycle.train.rehearsal import metrics_kept
from lifecycle.train.seeding import seed_batch
from lifecycle.train.steps import bound_step, preparer

if TYPE_CHECKING:
    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer

log = logging.getLogger(__name__)

Average: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
_STRATEGIES = ("cos", "linear")


class StochasticWeightAveraging(Callback):
    """Anneals the learning rate to a constant and averages the weights that each epoch begins with.

    After the last epoch the average takes the place of the module's weights. If there are batch norms,
    their statistics are computed anew for it: one pass over the training data in training mode,
    without gradients, in which every batch counts alike. (Lightning appends an epoch for that, which
    hooks and loggers see as one, and whose last batch moves the weights by one more step. Here the pass
    belongs to the end of training, and what ``training_step`` logs in it goes nowhere.) A fit that ends
    before its last epoch keeps its own weights.

    Args:
        swa_lrs: The learning rate to anneal to: one for all groups, or a list with one for each.
        swa_epoch_start: The epoch, from 1, that the average begins with; a float is a fraction of
            ``max_epochs``.
        annealing_epochs: Epochs until that learning rate is reached.
        annealing_strategy: ``cos`` or ``linear``.
        avg_fn: Takes the average, the weights and how many were averaged; None counts all alike.
        device: Where the average is kept; None where the module is.

    Attributes:
        n_averaged: How many epochs' weights are in the average.

    Raises:
        UsageError: a value is out of range; in the fit, that there is more than one optimizer or schedule.
    """

    def __init__(
        self,
        swa_lrs: float | list[float],
        swa_epoch_start: int | float = 0.8,
        annealing_epochs: int = 10,
        annealing_strategy: Literal["cos", "linear"] = "cos",
        avg_fn: Average | None = None,
        device: torch.device | str | None = "cpu",
    ) -> None:
        _check(swa_lrs, swa_epoch_start, annealing_strategy)
        self._swa_lrs = swa_lrs
        self._swa_epoch_start = swa_epoch_start
        self._annealing_epochs = annealing_epochs
        self._annealing_strategy = annealing_strategy
        self._avg_fn = avg_fn or self.avg_fn
        self._device = device
        self._begin()

    def _begin(self) -> None:
        self.n_averaged: Tensor | None = None
        self._average: dict[str, Tensor] = {}
        self._scheduler: SWALR | None = None
        self._scheduler_state: dict[str, object] | None = None  # of a checkpoint
        self._seed = 0  # of the pass for batch norms
        self._start = 0  # both from 0
        self._end: int | None = None  # None for a fit without an end

    @staticmethod
    def avg_fn(averaged_model_parameter: Tensor, model_parameter: Tensor, num_averaged: Tensor) -> Tensor:
        """The mean of all, one at a time."""
        return averaged_model_parameter + (model_parameter - averaged_model_parameter) / (num_averaged + 1)

    def setup(self, trainer: Trainer, pl_module: Module, stage: str) -> None:
        """Forget what an earlier fit averaged."""
        if stage == "fit":
            self._begin()

    def state_dict(self) -> dict[str, object]:
        """The average, how far it went, and the schedule that replaced the user's."""
        return {
            "n_averaged": 0 if self.n_averaged is None else int(self.n_averaged),
            "scheduler_state": None if self._scheduler is None else self._scheduler.state_dict(),
            "average_model_state": dict(self._average) or None,
            "seed": self._seed,
        }

    def load_state_dict(self, state_dict: Mapping[str, object]) -> None:
        """Go on averaging from there."""
        count = cast("int", state_dict["n_averaged"])
        self.n_averaged = torch.tensor(count) if count else None
        self._average = dict(cast("Mapping[str, Tensor] | None", state_dict["average_model_state"]) or {})
        self._seed = cast("int", state_dict.get("seed", 0))
        self._scheduler_state = cast("dict[str, object] | None", state_dict["scheduler_state"])

    def on_fit_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Settle the epochs; in a resumed fit put our schedule in place, for its state to be restored."""
        if len(trainer.optimizers) != 1 or len(trainer.lr_scheduler_configs) > 1:
            raise UsageError(
                "StochasticWeightAveraging takes one optimizer and one schedule at most, got "
                f"{len(trainer.optimizers)} and {len(trainer.lr_scheduler_configs)}"
            )
        batch_norms = _batch_norms(pl_module)
        if batch_norms and not pl_module.automatic_optimization:
            raise UsageError(
                "StochasticWeightAveraging runs training_step without gradients to compute the statistics "
                f"of {len(batch_norms)} batch norms, which manual optimization does not allow"
            )
        self._end = None if trainer.max_epochs == -1 else trainer.max_epochs - 1
        self._start = self._first_epoch()
        if self.n_averaged is not None:
            self._replace_schedule(trainer)

    def _first_epoch(self) -> int:
        start = self._swa_epoch_start
        if isinstance(start, float):
            if self._end is None:
                raise UsageError(
                    f"StochasticWeightAveraging(swa_epoch_start={start}) is a fraction of max_epochs, and "
                    "this fit has no last epoch: give the epoch as a whole number"
                )
            start = int((self._end + 1) * start)
        return max(start - 1, 0)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Average the weights that this epoch begins with."""
        epoch = trainer.current_epoch
        if epoch < self._start or (self._end is not None and epoch > self._end):
            return
        if self._scheduler is None:
            self._replace_schedule(trainer)
        self._update(pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Module, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Step our schedule at the end of an epoch, unless it is the trainer's, in place of the user's."""
        if self._scheduler is not None and trainer.is_last_batch and not trainer.lr_scheduler_configs:
            self._scheduler.step()

    def on_train_end(self, trainer: Trainer, pl_module: Module) -> None:
        """Put the average in place and compute the statistics of batch norms for it."""
        if self.n_averaged is None:
            return
        if self._end is not None and trainer.current_epoch <= self._end:
            log.warning(
                "training ended before its last epoch (%d of %d are done): the module keeps its own weights, "
                "the average of %d epochs is not put in place",
                trainer.current_epoch,
                self._end + 1,
                int(self.n_averaged),
            )
            return
        with torch.no_grad():
            for name, parameter in pl_module.named_parameters():
                parameter.copy_(self._average[name])
            if _batch_norms(pl_module):
                with cumulative_batch_norms(pl_module), metrics_kept(pl_module):
                    _pass(trainer, pl_module, self._seed)

    def _replace_schedule(self, trainer: Trainer) -> None:
        optimizer = trainer.optimizers[0]
        groups = len(optimizer.param_groups)
        rates = self._swa_lrs if isinstance(self._swa_lrs, list) else [self._swa_lrs] * groups
        if len(rates) != groups:
            raise UsageError(
                f"StochasticWeightAveraging(swa_lrs=...) has {len(rates)} learning rates, "
                f"and the optimizer {groups} groups"
            )
        self._scheduler = SWALR(
            optimizer,
            swa_lr=rates,  # type: ignore[arg-type]
            anneal_epochs=self._annealing_epochs,
            anneal_strategy=self._annealing_strategy,
        )
        if self._scheduler_state is not None:
            self._scheduler.load_state_dict(self._scheduler_state)
        for config in trainer.lr_scheduler_configs:
            log.info("%s gives way to SWALR", type(config.scheduler).__name__)
            vars(config).update(vars(Schedule(scheduler=self._scheduler)))

    @torch.no_grad()
    def _update(self, module: Module) -> None:
        device = torch.device(self._device) if self._device is not None else module.device
        if self.n_averaged is None:
            self.n_averaged = torch.tensor(0)
            self._seed = torch.initial_seed()  # that of this epoch, whatever was drawn since
        for name, parameter in module.named_parameters():
            value = parameter.detach().to(device, copy=True)
            if self.n_averaged > 0:
                value = self._avg_fn(self._average[name].to(device), value, self.n_averaged.to(device))
            self._average[name] = value
        self.n_averaged += 1


def _batch_norms(module: nn.Module) -> list[_BatchNorm]:
    """Those that follow the data: a frozen one keeps what it has."""
    return [
        part
        for part in module.modules()
        if isinstance(part, _BatchNorm) and part.training and part.running_mean is not None
    ]


@contextmanager
def cumulative_batch_norms(module: nn.Module) -> Iterator[None]:
    """Forget the statistics of batch norms, and let every batch count alike for new ones."""
    parts = [(part, part.momentum) for part in _batch_norms(module)]
    for part, _ in parts:
        part.reset_running_stats()
        part.momentum = None
    try:
        yield
    finally:
        for part, momentum in parts:
            part.momentum = momentum


def _pass(trainer: Trainer, module: Module, seed: int) -> None:
    """Run `training_step` on every batch of the training data; what it logs goes nowhere."""
    feed = feed_of(
        trainer.train_dataloader,
        limit=trainer.limit_train_batches,
        split="train",
        ordered=bool(trainer.overfit_batches),
    )
    precision = trainer.precision_plugin
    prepare = preparer(
        module, trainer.datamodule, precision, trainer.device, images_last=trainer.channels_last
    )
    step = bound_step(module, "training_step", precision)
    outer, module._logbook = module._logbook, Logbook()
    try:
        for index, batch in enumerate(feed.batches(seed, trainer.current_epoch)):
            seed_batch(seed, trainer.current_epoch, index)
            batch = batch if prepare is None else prepare(batch, 0)
            module._logbook.batch, module._logbook.hook = batch, "training_step"
            step(batch, index)
    finally:
        module._logbook = outer


def _check(swa_lrs: float | list[float], start: int | float, strategy: str) -> None:
    rates = swa_lrs if isinstance(swa_lrs, list) else [swa_lrs]
    if not rates or not all(isinstance(rate, float) and rate > 0 for rate in rates):
        raise UsageError(
            f"StochasticWeightAveraging(swa_lrs={swa_lrs!r}): expected a float above 0, or a list of them"
        )
    if isinstance(start, float) and not 0.0 <= start <= 1.0:
        raise UsageError(
            f"StochasticWeightAveraging(swa_epoch_start={start}): as a fraction it is 0.0 to 1.0"
        )
    if isinstance(start, int) and start < 1:
        raise UsageError(f"StochasticWeightAveraging(swa_epoch_start={start}): epochs are counted from 1")
    if strategy not in _STRATEGIES:
        raise UsageError(
            f"StochasticWeightAveraging(annealing_strategy={strategy!r}): "
            f"{suggest(str(strategy), _STRATEGIES)}"
        )
