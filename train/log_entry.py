"""What ``self.log`` keeps of a name: the last value of a step, and a sum over an epoch, on their device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from lifecycle.core.errors import UsageError
from lifecycle.train.torchmetric import Metric, batch_value

Reduction: TypeAlias = "str | Callable[..., Any]"
Sync: TypeAlias = "Callable[[Tensor, str], Tensor]"
REDUCTIONS = ("mean", "sum", "min", "max")
MERGE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean": torch.add,
    "sum": torch.add,
    "min": torch.minimum,
    "max": torch.maximum,
}


@dataclass(frozen=True)
class LogOptions:
    """The arguments of ``self.log`` beside name and value; they are the same in every call for a name."""

    prog_bar: bool = False
    logger: bool | None = None
    on_step: bool | None = None
    on_epoch: bool | None = None
    reduce_fx: Reduction = "mean"
    enable_graph: bool = False
    sync_dist: bool = False
    add_dataloader_idx: bool = True


DEFAULT = LogOptions()


@dataclass(kw_only=True)
class Entry:
    """One logged name: how it is reported, its last value, and the epoch's reduction so far.

    Attributes:
        name: As it is reported, with the suffix of its loader.
        step_name: Of a step's value: forked (``loss_step``) when the epoch's is reported too.
        epoch_name: Of the epoch's value.
        last: The value of the last step, None when only the epoch's counts.
        total: Sum, least or greatest value so far.
        weight: Samples so far.
        reduced: The epoch's value, once it was asked for: the same tensor until something is added.
        metric: A torchmetrics object that does the reduction itself.
        sync: Reduces a step's value over all processes, where there are some and the user wants it.
    """

    name: str
    step_name: str
    epoch_name: str
    on_step: bool
    on_epoch: bool
    prog_bar: bool
    logger: bool
    reduce_fx: str
    options: tuple[object, ...] = ()
    last: Tensor | None = None
    total: Tensor | None = None
    weight: int = 0
    reduced: Tensor | None = None
    metric: Metric | None = None
    sync: Sync | None = None

    def add(self, value: Tensor, size: int) -> None:
        """Take a value of a batch of `size` samples; it is ours, nobody else changes it."""
        if self.on_step:
            self.last = value if self.sync is None else self.sync(value, self.reduce_fx)
        if not self.on_epoch:
            return
        self.reduced = None
        if self.reduce_fx == "mean":
            self.weight += size
            weighted = value * size  # a fused multiply and add would round otherwise than Lightning does
            self.total = weighted if self.total is None else self.total + weighted
        else:
            self.total = value if self.total is None else MERGE[self.reduce_fx](self.total, value)

    def step_value(self) -> Tensor | None:
        """The value of the last step, if steps are reported."""
        if self.metric is not None:
            value = batch_value(self.metric) if self.on_step else None
            return None if value is None else self._one_number(value)
        return self.last

    def epoch_value(self) -> Tensor | None:
        """The reduction over the epoch, if it is reported; ``mean`` weighs by batch sizes."""
        if not self.on_epoch:
            return None
        if self.metric is not None:
            return self._one_number(self.metric.compute())
        if self.reduced is None and self.total is not None:
            self.reduced = self.total / self.weight if self.reduce_fx == "mean" else self.total
        return self.reduced

    def _one_number(self, value: object) -> Tensor:
        """What a torchmetrics object has computed."""
        if isinstance(value, int | float):
            return torch.tensor(float(value))
        if isinstance(value, Tensor) and value.numel() == 1:
            return value
        what = f"a tensor of shape {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise UsageError(
            f"self.log('{self.name}', …): {type(self.metric).__name__} computes {what}, not one number",
            hint="Log the numbers in it, each under a name of its own: self.log_dict({...})",
        )
