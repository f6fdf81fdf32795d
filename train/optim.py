"""The shapes that ``configure_optimizers`` may return, brought into one."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, ReduceLROnPlateau

from lifecycle.core.errors import UsageError, suggest

if TYPE_CHECKING:
    from lifecycle.train.optimizer import ModuleOptimizer

Scheduler: TypeAlias = LRScheduler | ReduceLROnPlateau
CLIPPING = ("norm", "value")
ALLOWED = """\
configure_optimizers may return
  - an optimizer, or a list or tuple of optimizers
  - a pair: [optimizer, ...], [scheduler or lr_scheduler_config, ...]
  - a dictionary: {"optimizer": ..., "lr_scheduler": scheduler or lr_scheduler_config}
  - a list or tuple of such dictionaries
  - None, to train nothing
an lr_scheduler_config is
  {"scheduler": ..., "interval": "epoch" | "step", "frequency": 1, "monitor": "val_loss",
   "strict": True, "name": "lr"}"""


@dataclass(kw_only=True)
class Schedule:
    """A scheduler and when it steps (Lightning's ``lr_scheduler_config``).

    Attributes:
        scheduler: Anything with ``step``, ``state_dict`` and ``load_state_dict``.
        interval: ``epoch`` or ``step``.
        frequency: Every how many of them.
        monitor: The metric that ReduceLROnPlateau follows.
        strict: Whether a metric that nobody logged is an error.
        name: What a monitor of learning rates calls it.
        reduce_on_plateau: Whether its ``step`` takes the metric.
    """

    scheduler: Any
    interval: str = "epoch"
    frequency: int = 1
    monitor: str | None = None
    strict: bool = True
    name: str | None = None
    reduce_on_plateau: bool | None = None

    def __post_init__(self) -> None:
        if self.reduce_on_plateau is None:
            self.reduce_on_plateau = isinstance(self.scheduler, ReduceLROnPlateau)
        if self.interval not in ("epoch", "step"):
            raise UsageError(f"lr_scheduler interval {self.interval!r}: allowed: epoch, step")
        if not isinstance(self.frequency, int) or self.frequency < 1:
            raise UsageError(f"lr_scheduler frequency {self.frequency!r}: expected a whole number above 0")


class NoOptimizer(Optimizer):
    """Stands where `configure_optimizers` returned None: gradients are computed, no weight changes."""

    def __init__(self) -> None:
        super().__init__([torch.zeros(1)], {"lr": 0.0})

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Run the closure alone."""
        return None if closure is None else closure()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Nothing: it has no gradients."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing to take back."""


@dataclass(frozen=True)
class Optimization:
    """The optimizers of a fit and its schedules."""

    optimizers: tuple[Optimizer, ...] = ()
    schedules: tuple[Schedule, ...] = ()


def optimization(returned: object, *, automatic: bool = True) -> Optimization:
    """Read what ``configure_optimizers`` returned.

    Args:
        returned: What it returned.
        automatic: Whether the trainer steps optimizer and schedulers; else the module does so itself.

    Raises:
        UsageError: it is of no allowed shape; the message lists them.
    """
    optimizers, entries, monitor = _parts(returned)
    if automatic and not optimizers:
        raise UsageError(f"got no optimizer: {ALLOWED}")
    if automatic and len(optimizers) > 1:
        raise UsageError(
            f"configure_optimizers returned {len(optimizers)} optimizers, and the trainer steps only one",
            hint="Set self.automatic_optimization = False in __init__ and step them in training_step.",
        )
    schedules = tuple(_schedule(entry, monitor, automatic=automatic) for entry in entries)
    for schedule in schedules:
        if getattr(schedule.scheduler, "optimizer", optimizers[0]) not in optimizers:
            raise UsageError(
                f"configure_optimizers returned a {type(schedule.scheduler).__name__} "
                "whose optimizer is not among the optimizers that it returned"
            )
    return Optimization(tuple(optimizers), schedules)


def _parts(returned: object) -> tuple[list[Optimizer], list[object], str | None]:
    """Optimizers, schedulers, and the metric of a plateau scheduler that stands beside them."""
    if returned is None:
        warnings.warn("configure_optimizers returned None: this fit changes no weights", stacklevel=3)
        return [NoOptimizer()], [], None
    if isinstance(returned, Mapping):
        return [_optimizer(returned)], _scheduler_of(returned), returned.get("monitor")
    if not isinstance(returned, list | tuple):
        return [_optimizer(returned)], [], None
    if len(returned) == 2 and isinstance(returned[0], list | tuple):
        entries = returned[1] if isinstance(returned[1], list | tuple) else [returned[1]]
        return [_optimizer(item) for item in returned[0]], list(entries), None
    if returned and all(isinstance(item, Mapping) for item in returned):
        return (
            [_optimizer(item) for item in returned],
            [entry for item in returned for entry in _scheduler_of(item)],
            None,
        )
    return [_optimizer(item) for item in returned], [], None


def _optimizer(item: object) -> Optimizer:
    found = item.get("optimizer") if isinstance(item, Mapping) else item
    if hasattr(found, "param_groups") and not isinstance(found, Optimizer):  # something around an optimizer
        found = getattr(found, "optimizer", found)
    if isinstance(found, Optimizer):
        return found
    if isinstance(item, Mapping):
        raise UsageError(f"got a dictionary with {', '.join(map(str, item)) or 'nothing'}: {ALLOWED}")
    raise UsageError(f"got {type(item).__name__}: {ALLOWED}")


def _scheduler_of(item: Mapping[str, Any]) -> list[object]:
    entry = item.get("lr_scheduler")
    if entry is None:
        return []
    if isinstance(entry, Mapping) or "monitor" not in item:
        return [entry]
    return [{"scheduler": entry, "monitor": item["monitor"]}]


def _schedule(entry: object, monitor: str | None, *, automatic: bool) -> Schedule:
    if isinstance(entry, Mapping):
        if "scheduler" not in entry:
            raise UsageError(f"an lr_scheduler_config without 'scheduler': {ALLOWED}")
        known = [item.name for item in fields(Schedule)]
        for key in entry:
            if key not in known:
                warnings.warn(
                    f"lr_scheduler_config has no '{key}', which is left out: {suggest(str(key), known)}",
                    stacklevel=2,
                )
        schedule = Schedule(**{key: value for key, value in entry.items() if key in known})
        if isinstance(schedule.scheduler, OneCycleLR) and schedule.interval == "epoch" and automatic:
            warnings.warn(
                "a OneCycleLR steps with every epoch; it is usually meant to step with every batch: "
                'add "interval": "step"',
                stacklevel=2,
            )
    elif hasattr(entry, "step") and hasattr(entry, "state_dict"):
        schedule = Schedule(scheduler=entry, monitor=monitor)
    else:
        raise UsageError(f"got {type(entry).__name__} as a scheduler: {ALLOWED}")
    if automatic and schedule.reduce_on_plateau and schedule.monitor is None:
        raise UsageError(
            "ReduceLROnPlateau follows a metric: return "
            '{"optimizer": ..., "lr_scheduler": {"scheduler": ..., "monitor": "val_loss"}}'
        )
    return schedule


def parameters_of(optimizer: Optimizer | ModuleOptimizer) -> Iterator[Tensor]:
    """Every parameter of an optimizer's groups."""
    for group in optimizer.param_groups:
        yield from group["params"]


def clip_gradients(optimizer: Optimizer | ModuleOptimizer, value: float | None, algorithm: str) -> None:
    """Clip gradients of an optimizer's parameters in place.

    Args:
        optimizer: Whose parameters.
        value: The greatest norm of all together, or the greatest of any; None or 0 leaves them.
        algorithm: ``norm`` or ``value``.
    """
    if not value:
        return
    if algorithm == "norm":
        clip_grad_norm_(parameters_of(optimizer), value)
    elif algorithm == "value":
        clip_grad_value_(parameters_of(optimizer), value)
    else:
        raise UsageError(f"gradient_clip_algorithm {algorithm!r}: {suggest(algorithm, CLIPPING)}")


def wants_closure(optimizer: Optimizer) -> bool:
    """Whether an optimizer calls the step itself, as LBFGS does, or may: one that torch does not bring."""
    kind = type(optimizer)
    return not kind.__module__.startswith("torch.optim.") or kind.__name__ == "LBFGS"


def scheduler_states(schedules: Sequence[Schedule]) -> list[dict[str, object]]:
    """What a checkpoint keeps of each scheduler."""
    return [schedule.scheduler.state_dict() for schedule in schedules]
