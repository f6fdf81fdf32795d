"""What ``self.log`` keeps: the last value of a step, and sums over an epoch, both on their device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor

from lifecycle.core.errors import UsageError
from lifecycle.train.data import batch_size
from lifecycle.train.log_rules import Levels, levels_of
from lifecycle.train.torchmetric import Metric, batch_value, is_metric, perhaps_unfed

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


@dataclass
class Logbook:
    """The entries of one pass over loaders (an epoch of training, a validation, a test).

    Attributes:
        entries: By hook, name and loader.
        hook: Which hook or step of the module or a callback is at work; it settles an entry's defaults.
        batch: The batch at work, to take its size from.
        loader: Index of the loader at work; None when there is only one.
        sync: Reduces a value of a step over all processes; None where there is one.
        pool: Called before values of the epoch are looked at; puts those of all processes together.
    """

    entries: dict[tuple[str, str, int | None], Entry] = field(default_factory=dict)
    hook: str = ""
    batch: object = None
    loader: int | None = None
    sync: Sync | None = None
    pool: Callable[[], None] | None = None

    def log(self, name: str, value: object, options: tuple[object, ...], size: int | None) -> None:
        """Take one value; `options` are the fields of `LogOptions`, in order; see `lifecycle.Module.log`."""
        entry = self.entries.get((self.hook, name, self.loader))
        if entry is None or entry.options != options:
            entry = self._entry(name, LogOptions(*options), options, entry)  # type: ignore[arg-type]
        if type(value) is not Tensor and is_metric(value):
            entry.metric = value
            return
        tensor = scalar(name, value, keep_graph=bool(options[5]))
        if size is None:
            size = batch_size(self.batch) if entry.on_epoch and entry.reduce_fx == "mean" else 1
        entry.add(tensor, size)

    def _entry(self, name: str, options: LogOptions, given: tuple[object, ...], known: Entry | None) -> Entry:
        if known is not None:
            if [_plain(option) for option in known.options] == [_plain(option) for option in given]:
                known.options = given
                return known
            raise UsageError(
                f"self.log('{name}', …) is called twice in {self.hook} with different arguments: "
                f"{LogOptions(*known.options)} and {options}",  # type: ignore[arg-type]
                hint="Give the second a name of its own, or the same arguments.",
            )
        levels: Levels = levels_of(self.hook, name, options.on_step, options.on_epoch)
        reported = self._reported(name, add_index=options.add_dataloader_idx)
        both = levels.on_step and levels.on_epoch
        suffix = reported.removeprefix(name)
        entry = Entry(
            name=reported,
            step_name=f"{name}_step{suffix}" if both else reported,
            epoch_name=f"{name}_epoch{suffix}" if both else reported,
            on_step=levels.on_step,
            on_epoch=levels.on_epoch,
            prog_bar=options.prog_bar,
            logger=options.logger is None or options.logger,
            reduce_fx=reduction(name, options.reduce_fx),
            options=given,
            sync=self.sync if options.sync_dist else None,
        )
        self.entries[self.hook, name, self.loader] = entry
        return entry

    def _reported(self, name: str, *, add_index: bool) -> str:
        """The name, with the index of the loader at work if there are several."""
        if add_index and "/dataloader_idx_" in name:
            raise UsageError(
                f"self.log('{name}', …): the loader's index is added by the trainer; "
                "leave it out of the name, or pass add_dataloader_idx=False"
            )
        if self.loader is None:
            return name
        if add_index:
            return f"{name}/dataloader_idx_{self.loader}"
        if any(hook == self.hook and known == name for hook, known, _ in self.entries):
            raise UsageError(
                f"self.log('{name}', add_dataloader_idx=False) in {self.hook} is called for two loaders: "
                "one would take the other's place",
                hint="Put the loader into the name, or leave add_dataloader_idx out.",
            )
        return name

    def step_values(self) -> Iterator[tuple[Entry, str, Tensor]]:
        """Entries of the loader at work that report each step: entry, name, last value."""
        for (_, _, loader), entry in self.entries.items():
            if loader == self.loader and (value := entry.step_value()) is not None:
                yield entry, entry.step_name, value

    def epoch_values(self) -> Iterator[tuple[Entry, str, Tensor]]:
        """Entries of the loader at work that report at the end: entry, name, reduced value."""
        for (_, _, loader), entry in self.entries.items():
            if loader != self.loader:
                continue
            with nullcontext() if self.pool is None else perhaps_unfed():
                value = entry.epoch_value()
            if value is not None:
                yield entry, entry.epoch_name, value

    def clear(self) -> None:
        """Begin anew: entries are forgotten and torchmetrics objects reset."""
        for entry in self.entries.values():
            if entry.metric is not None:
                entry.metric.reset()
        self.entries.clear()

    def state_dict(
        self, metrics: Mapping[str, Metric], *, of_loader: bool = False
    ) -> list[dict[str, object]]:
        """What a resume inside an epoch needs; torchmetrics objects keep their own state and are named.

        Args:
            metrics: By name.
            of_loader: Only what belongs to the loader at work.
        """
        names = {id(metric): name for name, metric in metrics.items()}
        return [
            {
                "key": list(key),
                "options": [_plain(option) for option in entry.options],
                "last": entry.last,
                "total": entry.total,
                "weight": entry.weight,
                "reduce_fx": entry.reduce_fx,
                "metric": names.get(id(entry.metric)),
            }
            for key, entry in self.entries.items()
            if not of_loader or key[2] == self.loader
        ]

    def load_state_dict(self, state: list[dict[str, Any]], metrics: Mapping[str, Metric]) -> None:
        """Take back what `state_dict` gave."""
        before = self.hook, self.loader
        for item in state:
            self.hook, name, self.loader = item["key"]
            options = tuple(item["options"])
            entry = self._entry(name, LogOptions(*options), options, None)
            entry.last, entry.total, entry.weight = item["last"], item["total"], item["weight"]
            entry.reduced = None
            entry.metric = metrics.get(item["metric"])
        self.hook, self.loader = before


def reduction(name: str, given: Reduction) -> str:
    """The name of a reduction: ``mean``, ``sum``, ``min`` or ``max``, also as torch's functions.

    Raises:
        UsageError: it is another.
    """
    found = given if isinstance(given, str) else getattr(given, "__name__", "")
    found = {"avg": "mean", "amin": "min", "amax": "max"}.get(found.lower(), found.lower())
    if found not in REDUCTIONS:
        raise UsageError(f"self.log('{name}', reduce_fx={given!r}): allowed: {', '.join(REDUCTIONS)}")
    return found


def scalar(name: str, value: object, *, keep_graph: bool = False) -> Tensor:
    """A tensor of our own with one element, in float32 at least.

    Raises:
        UsageError: the value is not a number or a tensor of one element.
    """
    if isinstance(value, Tensor):
        if value.numel() != 1:
            raise UsageError(
                f"self.log('{name}', …) takes one number, got a tensor of shape {list(value.shape)}",
                hint=f"For example: self.log('{name}', value.mean())",
            )
        if not keep_graph:
            value = value.detach()
        value = value.clone()  # the user may go on to change the tensor in place
        if value.ndim:
            value = value.reshape(())
        return value if value.dtype in (torch.float32, torch.float64) else value.float()
    if isinstance(value, int | float):
        return torch.tensor(float(value))
    try:
        return torch.tensor(float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise UsageError(
            f"self.log('{name}', …) takes a number, a tensor of one element or a metric, "
            f"got {type(value).__name__}"
        ) from None


def as_floats(metrics: Mapping[str, Tensor]) -> dict[str, float]:
    """Plain numbers; reads them from the device."""
    return {name: float(value) for name, value in metrics.items()}


def _plain(option: object) -> object:
    return option if option is None or isinstance(option, bool | str) else reduction("", option)  # type: ignore[arg-type]
