"""The shapes that ``configure_optimizers`` may return, brought into one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TypeAlias

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from lifecycle.core.errors import suggest

Scheduler: TypeAlias = LRScheduler | ReduceLROnPlateau
ALLOWED = """\
configure_optimizers may return
  - an optimizer, or a list or tuple of one optimizer
  - a pair of lists: [optimizer], [scheduler or lr_scheduler_config]
  - a dictionary: {"optimizer": ..., "lr_scheduler": scheduler or lr_scheduler_config}
  - None, to train nothing
an lr_scheduler_config is
  {"scheduler": ..., "interval": "epoch" | "step", "frequency": 1, "monitor": "val_loss"}"""


@dataclass(kw_only=True)
class Schedule:
    """A scheduler and when it steps (Lightning's ``lr_scheduler_config``)."""

    scheduler: Scheduler
    interval: str = "epoch"
    frequency: int = 1
    monitor: str | None = None
    strict: bool = True
    name: str | None = None

    def __post_init__(self) -> None:
        if self.interval not in ("epoch", "step"):
            raise ValueError(f"lr_scheduler interval {self.interval!r}: allowed: epoch, step")
        if isinstance(self.scheduler, ReduceLROnPlateau) and self.monitor is None:
            raise ValueError(
                "ReduceLROnPlateau follows a metric: return "
                '{"optimizer": ..., "lr_scheduler": {"scheduler": ..., "monitor": "val_loss"}}'
            )


@dataclass(frozen=True)
class Optimization:
    """The optimizer, if there is one, and its schedules."""

    optimizer: Optimizer | None
    schedules: tuple[Schedule, ...] = ()


def optimization(returned: object) -> Optimization:
    """Read what ``configure_optimizers`` returned.

    Raises:
        ValueError: it is of no allowed shape; the message lists them.
    """
    if returned is None:
        return Optimization(None)
    if isinstance(returned, Optimizer):
        return Optimization(returned)
    if isinstance(returned, Mapping) and isinstance(returned.get("optimizer"), Optimizer):
        entry = returned.get("lr_scheduler")
        return Optimization(returned["optimizer"], () if entry is None else (_schedule(entry),))
    if isinstance(returned, list | tuple):
        if len(returned) == 2 and all(isinstance(part, list | tuple) for part in returned):
            optimizers, schedules = returned
            return Optimization(_only(optimizers), tuple(_schedule(entry) for entry in schedules))
        return Optimization(_only(returned))
    raise ValueError(f"got {type(returned).__name__}: {ALLOWED}")


def _only(optimizers: list[object] | tuple[object, ...]) -> Optimizer:
    if len(optimizers) == 1 and isinstance(optimizers[0], Optimizer):
        return optimizers[0]
    raise ValueError(f"got {[type(item).__name__ for item in optimizers]}: {ALLOWED}")


def _schedule(entry: object) -> Schedule:
    if isinstance(entry, LRScheduler | ReduceLROnPlateau):
        return Schedule(scheduler=entry)
    if isinstance(entry, Mapping) and "scheduler" in entry:
        known = [item.name for item in fields(Schedule)]
        for key in entry:
            if key not in known:
                raise ValueError(f"lr_scheduler_config has no '{key}': {suggest(str(key), known)}")
        return Schedule(**entry)
    raise ValueError(f"got {type(entry).__name__} as a scheduler: {ALLOWED}")
