"""What ``self.log`` keeps: the last value of a step, and sums over an epoch, both on their device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

Reduction = Literal["mean", "sum", "min", "max"]
_MERGE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean": torch.add,
    "sum": torch.add,
    "min": torch.minimum,
    "max": torch.maximum,
}


@dataclass(kw_only=True)
class Entry:
    """One logged name: how it is reported, its last value, and the epoch's reduction so far."""

    name: str
    on_step: bool
    on_epoch: bool
    prog_bar: bool
    logger: bool
    reduce_fx: Reduction
    last: Tensor
    total: Tensor | None = None
    weight: int = 0

    def add(self, value: Tensor, size: int) -> None:
        """Take a value of a batch of `size` samples."""
        self.last = value
        if not self.on_epoch:
            return
        self.weight += size
        part = value * size if self.reduce_fx == "mean" else value
        self.total = part if self.total is None else _MERGE[self.reduce_fx](self.total, part)

    def reduced(self) -> Tensor:
        """The epoch's value: for ``mean`` weighted by batch sizes."""
        assert self.total is not None
        return self.total / self.weight if self.reduce_fx == "mean" else self.total

    def names(self) -> tuple[str, str]:
        """The names of the step's and of the epoch's value: forked when both are reported."""
        both = self.on_step and self.on_epoch
        return (f"{self.name}_step", f"{self.name}_epoch") if both else (self.name, self.name)


@dataclass
class Logbook:
    """The entries of one pass over a loader (an epoch of training, a validation, a test).

    Attributes:
        entries: By name.
        per_step: Whether a number that does not say so is reported for each step (true of training steps)
            or reduced over the epoch.
        batch_size: Of the batch at work.
        fresh: Whether something was logged since this was last set to False.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    per_step: bool = False
    batch_size: int = 1
    fresh: bool = False

    def log(
        self,
        name: str,
        value: object,
        *,
        prog_bar: bool,
        logger: bool,
        on_step: bool | None,
        on_epoch: bool | None,
        reduce_fx: Reduction,
        batch_size: int | None,
    ) -> None:
        """Take one value; see `lifecycle.Module.log`."""
        tensor = scalar(name, value)
        entry = self.entries.get(name)
        if entry is None:
            on_step = self.per_step if on_step is None else on_step
            on_epoch = not self.per_step if on_epoch is None else on_epoch
            if not (on_step or on_epoch):
                raise ValueError(
                    f"log('{name}', on_step=False, on_epoch=False) reports nothing; set one of them"
                )
            if reduce_fx not in _MERGE:
                raise ValueError(f"log('{name}', reduce_fx={reduce_fx!r}): allowed: {', '.join(_MERGE)}")
            entry = self.entries[name] = Entry(
                name=name,
                on_step=on_step,
                on_epoch=on_epoch,
                prog_bar=prog_bar,
                logger=logger,
                reduce_fx=reduce_fx,
                last=tensor,
            )
        entry.add(tensor, self.batch_size if batch_size is None else batch_size)
        self.fresh = True

    def step_values(self) -> Iterator[tuple[Entry, str, Tensor]]:
        """Entries that report each step: entry, name, last value."""
        for entry in self.entries.values():
            if entry.on_step:
                yield entry, entry.names()[0], entry.last

    def epoch_values(self) -> Iterator[tuple[Entry, str, Tensor]]:
        """Entries that report at the end: entry, name, reduced value."""
        for entry in self.entries.values():
            if entry.on_epoch and entry.total is not None:
                yield entry, entry.names()[1], entry.reduced()


def scalar(name: str, value: object) -> Tensor:
    """A detached tensor of one element, in float32 at least.

    Raises:
        ValueError: the value is not a number or a tensor of one element.
    """
    if isinstance(value, Tensor):
        if value.numel() != 1:
            raise ValueError(f"log('{name}', …) takes one number, got a tensor of shape {list(value.shape)}")
        value = value.detach().reshape(())
        return value if value.is_floating_point() else value.float()
    if isinstance(value, int | float):
        return torch.tensor(float(value))
    raise ValueError(
        f"log('{name}', …) takes a number or a tensor of one element, got {type(value).__name__}"
    )


def as_floats(metrics: Mapping[str, Tensor]) -> dict[str, float]:
    """Plain numbers; reads them from the device."""
    return {name: float(value) for name, value in metrics.items()}
