"""Validation, test and prediction: one pass over a loader without gradients.

For ``kind`` validation, test or predict::

    on_{kind}_start
    on_{kind}_epoch_start
    for each batch:
        on_{kind}_batch_start       batch, batch_idx
        {kind}_step
        on_{kind}_batch_end         outputs, batch, batch_idx
    on_{kind}_epoch_end
    (metrics are reduced)
    on_{kind}_end
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

from lifecycle.train.data import batch_size
from lifecycle.train.hooks import Hooks
from lifecycle.train.metrics import Entry, Logbook
from lifecycle.train.modes import mode_of
from lifecycle.train.module import Module

Kind = Literal["validation", "test", "predict"]


def evaluate(
    module: Module, hooks: Hooks, batches: Iterable[object], kind: Kind
) -> tuple[list[tuple[Entry, str, Tensor]], list[object]]:
    """Run one pass.

    Returns:
        Every reduced metric: entry, name, value; then, for prediction, what each batch's step gave.
    """
    logbook = Logbook()
    step = getattr(module, f"{kind}_step")
    before, after = hooks[f"on_{kind}_batch_start"], hooks[f"on_{kind}_batch_end"]
    predictions = []
    with _scoring(module, logbook), torch.inference_mode():
        hooks.call(f"on_{kind}_start")
        hooks.call(f"on_{kind}_epoch_start")
        for index, batch in enumerate(batches):
            logbook.batch_size = batch_size(batch)
            for call in before:
                call(batch, index)
            outputs = step(batch, index)
            for call in after:
                call(outputs, batch, index)
            if kind == "predict":
                predictions.append(outputs)
        hooks.call(f"on_{kind}_epoch_end")
        metrics = list(logbook.epoch_values())
    return metrics, predictions


@contextmanager
def _scoring(module: Module, logbook: Logbook) -> Iterator[None]:
    """Evaluation mode, and a logbook of its own."""
    outer = module._logbook
    module._logbook = logbook
    try:
        with mode_of(module, training=False):
            yield
    finally:
        module._logbook = outer
