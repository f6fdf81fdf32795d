"""Reports learning rates, momenta and weight decays as they change."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import Tensor
from torch.optim import Optimizer

from lifecycle.core.errors import UsageError
from lifecycle.train.callbacks.base import Callback
from lifecycle.train.optim import Schedule

if TYPE_CHECKING:
    from lifecycle.train.module import Module
    from lifecycle.train.trainer import Trainer


@dataclass(frozen=True)
class Named:
    """An optimizer, the interval of its schedule (None without one), and a name for each of its groups."""

    optimizer: Optimizer
    interval: str | None
    names: tuple[str, ...]


class LearningRateMonitor(Callback):
    """Sends the learning rates of every optimizer to the loggers.

    A rate is called ``lr-`` and the optimizer's class, or as its schedule's ``name`` says; further
    optimizers of one class are numbered (``lr-Adam-1``), and with several groups the group's ``name`` or
    number follows (``lr-SGD/pg1``).

    Args:
        logging_interval: Report at each ``step`` that is logged or at each ``epoch``; None as each
            schedule's own interval says, and at both where there is no schedule.
        log_momentum: Report ``…-momentum`` too: the momentum, or the first beta.
        log_weight_decay: Report ``…-weight_decay`` too.

    Attributes:
        lrs: Every rate that was reported, by name.
        last_momentum_values: The last momentum by name.
        last_weight_decay_values: The last weight decay by name.

    Raises:
        UsageError: `logging_interval` is none of these; in the fit, that the trainer has no logger.
    """

    def __init__(
        self,
        logging_interval: Literal["step", "epoch"] | None = None,
        log_momentum: bool = False,
        log_weight_decay: bool = False,
    ) -> None:
        if logging_interval not in (None, "step", "epoch"):
            raise UsageError(
                f"LearningRateMonitor(logging_interval={logging_interval!r}): allowed: 'step', 'epoch', None"
            )
        self.logging_interval = logging_interval
        self.log_momentum = log_momentum
        self.log_weight_decay = log_weight_decay
        self.lrs: dict[str, list[float]] = {}
        self.last_momentum_values: dict[str, float | None] = {}
        self.last_weight_decay_values: dict[str, float | None] = {}
        self._restored: dict[str, list[float]] = {}

    def state_dict(self) -> dict[str, object]:
        """What was reported so far."""
        return {"lrs": {name: list(rates) for name, rates in self.lrs.items()}}

    def load_state_dict(self, state_dict: Mapping[str, object]) -> None:
        """Go on from there, once the optimizers' names are known."""
        self._restored = {
            name: list(rates) for name, rates in cast("dict[str, list[float]]", state_dict["lrs"]).items()
        }

    def on_train_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Find the names; refuse a trainer that would report nothing."""
        if not trainer.loggers:
            raise UsageError(
                "LearningRateMonitor reports to loggers, and the trainer has none: "
                "pass Trainer(logger=...) or take the callback out"
            )
        if self.log_momentum:
            _warn_without_momentum(trainer.optimizers)
        names = [name for item in self._named(trainer) for name in item.names]
        self.lrs = {name: [] for name in names} | self._restored
        self.last_momentum_values = {f"{name}-momentum": None for name in names}
        self.last_weight_decay_values = {f"{name}-weight_decay": None for name in names}
        self._restored = {}

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: Module, batch: object, batch_idx: int
    ) -> None:
        """Report what changes with steps, when steps are logged."""
        if self.logging_interval != "epoch" and _steps_are_logged(trainer):
            self._report(trainer, "step")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Module) -> None:
        """Report what changes with epochs."""
        if self.logging_interval != "step":
            self._report(trainer, "epoch")

    def _named(self, trainer: Trainer) -> list[Named]:
        return named(trainer.lr_scheduler_configs, trainer.optimizers)

    def _report(self, trainer: Trainer, interval: str) -> None:
        values: dict[str, float] = {}
        for item in self._named(trainer):
            self._follow(item.names)
            if self.logging_interval is not None or item.interval in (interval, None):
                values |= self._values(item)
        # As in Lightning, monitors of metrics may follow them.
        metrics = cast("dict[str, Tensor]", trainer.callback_metrics)
        metrics.update({name: torch.tensor(value) for name, value in values.items()})
        if values:
            trainer.log_metrics(values)

    def _follow(self, names: Sequence[str]) -> None:
        """A rate keeps its history when its optimizer gets a second group, and with it a longer name."""
        for name in names:
            if name not in self.lrs:
                self.lrs[name] = self.lrs.pop(name.removesuffix("/pg1"), [])

    def _values(self, item: Named) -> dict[str, float]:
        values: dict[str, float] = {}
        for name, group in zip(item.names, item.optimizer.param_groups, strict=True):
            values[name] = float(group["lr"])
            self.lrs[name].append(values[name])
            if self.log_momentum:
                momentum = float(_momentum(group))
                values[f"{name}-momentum"] = self.last_momentum_values[f"{name}-momentum"] = momentum
            if self.log_weight_decay:
                decay = float(group.get("weight_decay", 0.0))
                values[f"{name}-weight_decay"] = self.last_weight_decay_values[f"{name}-weight_decay"] = decay
        return values


def named(schedules: Iterable[Schedule], optimizers: Iterable[Optimizer]) -> list[Named]:
    """Name every group of every optimizer: those with a schedule first, then the others.

    Raises:
        UsageError: two groups of one optimizer have the same ``name``.
    """
    found: list[Named] = []
    seen: Counter[type[Optimizer]] = Counter()
    scheduled: list[tuple[Optimizer, str | None, str | None]] = [
        (schedule.scheduler.optimizer, schedule.interval, schedule.name)
        for schedule in schedules
        if hasattr(schedule.scheduler, "optimizer")  # a scheduler of the user's own may know none
    ]
    known = [optimizer for optimizer, _, _ in scheduled]
    plain = [(optimizer, None, None) for optimizer in optimizers if not any(optimizer is o for o in known)]
    for optimizer, interval, given in [*scheduled, *plain]:
        kind = type(optimizer)
        seen[kind] += given is None
        name = f"lr-{kind.__name__}" if given is None else given
        name += f"-{seen[kind] - 1}" if seen[kind] > 1 else ""
        found.append(Named(optimizer, interval, _group_names(name, optimizer)))
    return found


def _group_names(name: str, optimizer: Optimizer) -> tuple[str, ...]:
    groups = optimizer.param_groups
    if len(groups) == 1:
        own = groups[0].get("name")
        return (f"{name}/{own}" if own else name,)
    names = [str(group.get("name", f"pg{number}")) for number, group in enumerate(groups, start=1)]
    if twice := sorted({one for one in names if names.count(one) > 1}):
        raise UsageError(
            f"{type(optimizer).__name__} has several groups of parameters with the name "
            f"{', '.join(map(repr, twice))}: give each its own, or none"
        )
    return tuple(f"{name}/{one}" for one in names)


def _steps_are_logged(trainer: Trainer) -> bool:
    """Whether the values of the batch at hand go to loggers."""
    every = trainer.log_every_n_steps
    return every > 0 and ((trainer.batch_step + 1) % every == 0 or trainer.should_stop)


def _momentum(group: Mapping[str, object]) -> float:
    betas = cast("Sequence[float] | None", group.get("betas"))
    return betas[0] if betas else cast("float", group.get("momentum", 0.0))


def _warn_without_momentum(optimizers: Iterable[Optimizer]) -> None:
    without = [
        type(optimizer).__name__
        for optimizer in optimizers
        if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults
    ]
    if without:
        warnings.warn(
            f"LearningRateMonitor(log_momentum=True): {', '.join(without)} has no momentum; 0 is reported",
            RuntimeWarning,
            stacklevel=3,
        )
