"""What a checkpoint is named after and ranked by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from lifecycle.train.trainer import Trainer


def named_values(trainer: Trainer) -> dict[str, Any]:
    """All that was logged, and the numbers of epoch and step."""
    values: dict[str, Any] = dict(trainer.callback_metrics)
    for name, count in _counts(trainer).items():
        values[name] = int(values.get(name, count))
    return values


def monitored(trainer: Trainer, name: str | None, *, of_step: bool = False) -> Tensor | None:
    """A metric, None while it was not logged; `epoch` and `step` always are.

    Args:
        trainer: Has it.
        name: Its name; None for none.
        of_step: Where it is logged for steps and for epochs, take that of the step also when an epoch has
            just ended: what is ranked in the midst of epochs is to be compared with its like.
    """
    if name is None:
        return None
    metrics = trainer.callback_metrics
    value = metrics.get(name)
    if value is None:
        count = _counts(trainer).get(name)
        return None if count is None else torch.tensor(count)
    if of_step and value is metrics.get(f"{name}_epoch"):
        return metrics.get(f"{name}_step", value)
    return value


def _counts(trainer: Trainer) -> dict[str, int]:
    return {"epoch": trainer.current_epoch, "step": trainer.global_step}
