"""Values of metrics, without waiting for a GPU that is still computing them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lifecycle.train.to_host import Sent, send_to_host

Value = int | float | str


class Readings:
    """Reads metrics for a display that is redrawn several times a second.

    Reading a number from a GPU waits until everything is computed that was asked of it before, which costs a
    training loop its lead. So numbers there are copied beside the computation, and shown when the copy has
    arrived: by the next redraw, as a rule.
    """

    def __init__(self) -> None:
        self._arrived: dict[str, Value] = {}
        self._sent: tuple[tuple[str, ...], Sent] | None = None  # numbers on their way, and their names

    def read(self, metrics: Mapping[str, object], *, wait: bool = False) -> dict[str, Value]:
        """Plain numbers and texts, in the order of `metrics`; what has not arrived yet is left out.

        Args:
            metrics: Tensors of one element, numbers, or anything that can be written as text.
            wait: Read what is computed on a GPU now, however long that takes.
        """
        there = {n: v for n, v in metrics.items() if isinstance(v, Tensor) and v.is_cuda and v.numel() == 1}
        if there:
            self._receive(there, wait)
        found = {}
        for name, value in metrics.items():
            if name not in there:
                found[name] = plain(value)
            elif name in self._arrived:
                found[name] = self._arrived[name]
        return found

    def _receive(self, metrics: Mapping[str, Tensor], wait: bool) -> None:
        """Take what has arrived, and send for what is there now."""
        if wait:
            self._sent = None
            self._arrived |= zip(metrics, _together(metrics).tolist(), strict=True)
            return
        if self._sent is not None:
            names, sent = self._sent
            if not sent.arrived:
                return
            self._arrived |= zip(names, sent.values(), strict=True)
        self._sent = tuple(metrics), send_to_host(_together(metrics))


def plain(value: object) -> Value:
    """A number as Python has it; anything else as text.

    >>> plain(torch.tensor(3)), plain(0.5), plain({"a": 1})
    (3, 0.5, "{'a': 1}")
    """
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    return value if isinstance(value, int | float | str) else str(value)


def _together(metrics: Mapping[str, Tensor]) -> Tensor:
    """One tensor of all of them, so that there is one copy."""
    return torch.stack([value.detach().reshape(()).double() for value in metrics.values()])
