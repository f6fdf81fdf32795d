"""Epoch values over all processes: what each has summed up is put together before anybody looks.

What is exchanged is a few numbers for each name, once for each end of an epoch. Names are matched, so a
process that did not log one (it had no batch, or the first one logs alone) keeps nobody waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lifecycle.train.log_entry import MERGE, Entry
from lifecycle.train.metrics import Logbook
from lifecycle.train.torchmetric import Metric, metrics_of, perhaps_unfed

if TYPE_CHECKING:
    from lifecycle.train.module import Module
    from lifecycle.train.strategies.base import Strategy

Gather = Callable[[Any], list[Any]]  # a plain value in, those of all processes out


def share(book: Logbook, module: Module, strategy: Strategy, *, steps: bool) -> None:
    """Let what is logged be reduced over all processes, if there are several.

    Args:
        book: Takes what is logged.
        module: Logs it.
        strategy: Asks the others.
        steps: Whether all processes take equally many steps, so that values of steps can be reduced too.
    """
    several = strategy.world_size > 1
    book.sync = strategy.sync_step if several and steps else None
    book.pool = (lambda: pool(book, dict(metrics_of(module)), strategy.gathered)) if several else None


def pool(book: Logbook, metrics: Mapping[str, Metric], gather: Gather) -> None:
    """Let the entries of the loader at work answer with the value over all processes.

    A torchmetrics object exchanges its own state when it computes: it is made to here, in the same order
    everywhere.

    Args:
        book: Of this process; entries that it lacks are added.
        metrics: The module's torchmetrics objects by name.
        gather: Asks all processes.
    """
    ranks = gather(book.state_dict(metrics, of_loader=True))
    parts: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for state in ranks:
        for item in state:
            parts.setdefault(tuple(item["key"]), []).append(item)
    for key, items in parts.items():
        if key not in book.entries:
            book.load_state_dict([{**items[0], "last": None, "total": None, "weight": 0}], metrics)
        entry = book.entries[key]
        if entry.metric is not None:
            with perhaps_unfed():
                entry.epoch_value()
        elif entry.on_epoch:
            entry.reduced = pooled(entry, items)


def pooled(entry: Entry, items: list[dict[str, Any]]) -> Tensor | None:
    """The reduction over all processes of what each has reduced, in the order of their ranks."""
    total: Tensor | None = None
    for item in items:
        part = item["total"]
        if part is not None:
            total = part if total is None else MERGE[entry.reduce_fx](total, part)
    if total is None:
        return None
    if entry.reduce_fx == "mean":
        total = total / max(sum(item["weight"] for item in items), 1)
    return total if entry.total is None else total.to(entry.total.device)


def merged(states: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The logbooks of several processes as one, for a fit that goes on with another number of them."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for state in states:
        for item in state:
            known = found.get(tuple(item["key"]))
            if known is None:
                found[tuple(item["key"])] = dict(item)
                continue
            known["weight"] += item["weight"]
            if item["total"] is not None:
                name = item["reduce_fx"]
                known["total"] = (
                    item["total"] if known["total"] is None else MERGE[name](known["total"], item["total"])
                )
    return list(found.values())


def mean_gradients(ranks: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Gradients that wait in several processes, averaged: those of one process with all their samples."""
    if len(ranks) == 1:
        return dict(ranks[0])
    names = {name: None for gradients in ranks for name in gradients}
    return {
        name: torch.stack([gradients[name] for gradients in ranks if name in gradients]).sum(0) / len(ranks)
        for name in names
    }
