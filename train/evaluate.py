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
from torch import Tensor, nn

from lifecycle.train.data import batch_size
from lifecycle.train.hooks import Hooks
from lifecycle.train.metrics import Logbook
from lifecycle.train.module import Module

Kind = Literal["validation", "test", "predict"]


def evaluate(
    module: Module, hooks: Hooks, batches: Iterable[object], kind: Kind
) -> tuple[dict[str, tuple[Tensor, bool, bool]], list[object]]:
    """Run one pass.

    Returns:
        For every reduced metric its value and whether the bar and the logger want it; then, for
        prediction, what each batch's step gave.
    """
    logbook = Logbook(default_on_step=False, default_on_epoch=True)
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
        metrics = {
            name: (value, entry.prog_bar, entry.logger) for entry, name, value in logbook.epoch_values()
        }
    return metrics, predictions


@contextmanager
def _scoring(module: Module, logbook: Logbook) -> Iterator[None]:
    """Evaluation mode, and back to what each part was in: a user may keep some of it frozen."""
    training = [part for part in module.modules() if part.training]
    outer = module._logbook
    module.eval()
    module._logbook = logbook
    try:
        yield
    finally:
        module._logbook = outer
        _restore(module, training)


def _restore(module: nn.Module, training: list[nn.Module]) -> None:
    for part in training:
        part.training = True
