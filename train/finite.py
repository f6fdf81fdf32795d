"""Noticing a loss that is not a finite number, without waiting for the device in every step."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from lifecycle.core.errors import LifecycleError

_MOST = 1000  # losses that are kept before they are looked at uncalled for
_DIVERGED = (
    "Try a lower learning rate, or Trainer(gradient_clip_val=1.0). A logarithm of zero and a division by "
    "zero do it too: Trainer(detect_anomaly=True) names the operation."
)
_FROM_THE_START = (
    "No step had changed the weights by then: look for values in the batch that are not finite, and for a "
    "logarithm of zero or a division by zero; Trainer(detect_anomaly=True) names the operation."
)


class Place(Protocol):
    """Where training is (`lifecycle.train.state.FitState`).

    Attributes:
        global_step: Optimizer steps so far.
        epoch: The epoch at work, from 0.
        batch: The batch of it that is at work, from 0.
    """

    global_step: int
    epoch: int
    batch: int


class NonFiniteLoss(LifecycleError):  # noqa: N818  # it says what is wrong without the suffix
    """Training cannot go on from a loss that is NaN or infinite.

    Attributes:
        value: What the loss was.
        global_step: Optimizer steps before it.
        epoch: Its epoch, from 0.
        batch: Its batch, from 0.
    """

    def __init__(
        self, message: str, *, hint: str = "", value: float, global_step: int, epoch: int, batch: int
    ) -> None:
        super().__init__(message, hint=hint)
        self.value = value
        self.global_step = global_step
        self.epoch = epoch
        self.batch = batch


class FiniteCheck:
    """Collects losses, and looks at all of them at once when it is asked to.

    Args:
        place: Where training is when a loss is added.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._losses: list[tuple[Tensor, int, int, int]] = []
        self._finite: tuple[float, int] | None = None  # the last finite value and the steps before it

    def add(self, loss: Tensor) -> None:
        """Take the loss of a batch, of one element; it is not read from its device here."""
        place = self._place
        if loss.requires_grad:
            loss = loss.detach()
        self._losses.append((loss, place.global_step, place.epoch, place.batch))
        if len(self._losses) >= _MOST:
            self.check()

    def check(self) -> None:
        """Look at the losses since the last call; waits for the device once.

        Raises:
            NonFiniteLoss: one is not finite; tells of the first.
        """
        if not self._losses:
            return
        losses, self._losses = self._losses, []
        for value, (_, step, epoch, batch) in zip(
            _values([loss for loss, *_ in losses]), losses, strict=True
        ):
            if not math.isfinite(value):
                raise self._error(value, step, epoch, batch)
            self._finite = value, step

    def _error(self, value: float, step: int, epoch: int, batch: int) -> NonFiniteLoss:
        place = f"at optimizer step {step} (epoch {epoch}, batch {batch})"
        if self._finite is None:
            message, hint = f"the first loss is {value}, {place}", _FROM_THE_START
        else:
            last, at = self._finite
            message = f"the loss became {value} {place}; the last finite one was {last:.6g}, at step {at}"
            hint = _DIVERGED
        return NonFiniteLoss(message, hint=hint, value=value, global_step=step, epoch=epoch, batch=batch)


def _values(losses: list[Tensor]) -> list[float]:
    """Tensors of one element as numbers; types are promoted to the widest."""
    if len({loss.shape for loss in losses}) == 1:
        values = torch.stack(losses)
    else:
        values = torch.cat([loss.reshape(1) for loss in losses])
    found: list[float] = values.reshape(-1).tolist()
    return found
