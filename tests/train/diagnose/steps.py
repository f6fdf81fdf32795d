"""Steps that fail, and what is said about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lifecycle as pl
from lifecycle.train.diagnose import explain


def explained(module: pl.Module, *batch: object) -> str | None:
    """Let a training step fail as in a loop; returns the explanation."""

    def step() -> object:
        return module.training_step(batch, 0)

    with pytest.raises((RuntimeError, ValueError, IndexError, TypeError, AssertionError)) as caught:
        step()
    return explain(caught.value, module, step)


class Over(pl.Module):
    """A layer, and a loss of what it gives."""

    def __init__(self, layer: nn.Module, loss: Callable[..., Tensor] | None = None) -> None:
        super().__init__()
        self.layer = layer
        self.loss = loss

    def forward(self, inputs: Any) -> Any:
        return self.layer(inputs)

    def training_step(self, batch: tuple[Any, ...], batch_idx: int) -> Tensor:
        outputs = self(batch[0])
        return self.loss(outputs, *batch[1:]) if self.loss else outputs.sum()


def of(layer: nn.Module, inputs: object) -> str | None:
    """What is said about a layer that gets these inputs."""
    return explained(Over(layer), inputs)


def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.zeros(shape, dtype=dtype)
