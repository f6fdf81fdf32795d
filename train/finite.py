"""Noticing a loss that is not a finite number, without waiting for the device in every step."""

from __future__ import annotations

import math
from collections import deque
from typing import Protocol

import torch
from torch import Tensor

from lifecycle.core.errors import LifecycleError
from lifecycle.train.to_host import Sent, send_to_host

Places = list[tuple[int, int, int]]  # optimizer steps before, epoch, and batch of each loss
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
    """Collects losses, and looks at many of them at once.

    Args:
        place: Where training is when a loss is added.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._losses: list[tuple[Tensor, int, int, int]] = []
        self._sent: deque[tuple[Sent, Places]] = deque()  # on their way from a GPU
        self._finite: tuple[float, int] | None = None  # the last finite value and the steps before it

    def add(self, loss: Tensor) -> None:
        """Take the loss of a batch, of one element; it is not read from its device here."""
        place = self._place
        if loss.requires_grad:
            loss = loss.detach()
        self._losses.append((loss, place.global_step, place.epoch, place.batch))
        if len(self._losses) >= _MOST:
            self.look()

    def look(self) -> None:
        """Look at the losses since the last call, at those of a GPU when they have arrived: nobody waits.

        Raises:
            NonFiniteLoss: one is not finite; tells of the first.
        """
        if not self._losses or not self._losses[0][0].is_cuda:
            self.check()
            return
        losses, places = self._taken()
        self._sent.append((send_to_host(_together(losses)), places))
        while self._sent and self._sent[0][0].arrived:
            self._judge_sent()

    def check(self) -> None:
        """Look at all losses so far; waits for the device once.

        Raises:
            NonFiniteLoss: one is not finite; tells of the first.
        """
        while self._sent:
            self._judge_sent()
        if self._losses:
            losses, places = self._taken()
            on_host = losses[0].device.type == "cpu"
            self._judge([loss.item() for loss in losses] if on_host else _together(losses).tolist(), places)

    def _taken(self) -> tuple[list[Tensor], Places]:
        taken, self._losses = self._losses, []
        return [loss for loss, *_ in taken], [(step, epoch, batch) for _, step, epoch, batch in taken]

    def _judge_sent(self) -> None:
        sent, places = self._sent.popleft()
        self._judge(sent.values(), places)

    def _judge(self, values: list[float], places: Places) -> None:
        for value, (step, epoch, batch) in zip(values, places, strict=True):
            if not math.isfinite(value):
                self._losses.clear()
                self._sent.clear()
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


def _together(losses: list[Tensor]) -> Tensor:
    """Tensors of one element in one, of shape (n,); types are promoted to the widest."""
    if len({loss.shape for loss in losses}) == 1:
        return torch.stack(losses).reshape(-1)
    return torch.cat([loss.reshape(1) for loss in losses])
