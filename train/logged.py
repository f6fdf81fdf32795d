"""What was logged for a batch, for who looks batch by batch: the epoch's end shows only the reduction."""

from __future__ import annotations

from lifecycle.train.log_entry import Entry
from lifecycle.train.metrics import Logbook
from lifecycle.train.module import Module
from lifecycle.train.torchmetric import batch_value


def sums(module: Module) -> dict[str, tuple[float, float]]:
    """Sum and weight so far of every mean that is logged for the loader at work, by name.

    The difference between two batches is what one of them added. Reads numbers off their device.
    """
    return {
        entry.epoch_name: (float(entry.total), float(entry.weight))
        for entry in _at_work(module)
        if entry.total is not None and entry.reduce_fx == "mean"
    }


def metric_values(module: Module) -> dict[str, float]:
    """What every torchmetrics object that is logged gave for the batch at work, where that is a number."""
    found = {
        entry.epoch_name: batch_value(entry.metric) for entry in _at_work(module) if entry.metric is not None
    }
    return {name: float(value) for name, value in found.items() if value is not None and value.numel() == 1}


def _at_work(module: Module) -> list[Entry]:
    book: Logbook | None = module._logbook
    if book is None:
        return []
    return [entry for (_, _, loader), entry in book.entries.items() if loader == book.loader]
