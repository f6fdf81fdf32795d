"""The logbook behind ``self.log``: an entry for each name that a pass over loaders has logged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lifecycle.core.errors import UsageError
from lifecycle.train.data import batch_size
from lifecycle.train.log_entry import REDUCTIONS, Entry, LogOptions, Reduction, Sync
from lifecycle.train.log_rules import Levels, levels_of
from lifecycle.train.torchmetric import Metric, is_metric, perhaps_unfed


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
