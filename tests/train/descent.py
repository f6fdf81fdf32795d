"""A small problem in double precision, whose weights after a fit were written down from PyTorch Lightning 2.6.6."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import lifecycle as pl
from tests.train.small import quiet

INPUTS = torch.tensor(
    [[1.0, -2.0], [0.5, 1.0], [-1.0, 0.25], [2.0, 1.5], [-0.5, -1.0], [1.5, 0.75], [0.25, -0.5]],
    dtype=torch.float64,
)
TARGETS = torch.tensor([[1.0], [0.0], [-1.0], [2.0], [0.5], [1.0], [-0.5]], dtype=torch.float64)
Batch = list[Tensor]


def batches() -> DataLoader[Any]:
    """Seven of one sample."""
    return DataLoader(TensorDataset(INPUTS, TARGETS), 1)


class Descent(pl.Module):
    """Two layers that begin with fixed weights.

    Args:
        optimizers: Called with the module, as `configure_optimizers`.
        step: In place of `training_step`.
        automatic: Whether the trainer optimizes.
    """

    def __init__(
        self,
        optimizers: Callable[[Any], object],
        step: Callable[[Any, Batch, int], Any] | None = None,
        *,
        automatic: bool = True,
    ) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 2).double(), nn.Linear(2, 1).double()
        with torch.no_grad():
            for layer, start in ((self.first, 0.3), (self.second, -0.2)):
                for parameter in layer.parameters():
                    count = torch.arange(parameter.numel(), dtype=torch.float64)
                    parameter.copy_((start + 0.1 * count).reshape(parameter.shape))
        self._optimizers = optimizers
        self._step = step
        self.automatic_optimization = automatic

    def forward(self, inputs: Tensor) -> Tensor:
        return self.second(torch.tanh(self.first(inputs)))  # type: ignore[no-any-return]

    def loss(self, batch: Batch) -> Tensor:
        return nn.functional.mse_loss(self(batch[0]), batch[1])

    def training_step(self, batch: Batch, batch_idx: int) -> Any:
        loss = self.loss(batch) if self._step is None else self._step(self, batch, batch_idx)
        if isinstance(loss, Tensor):
            self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.log("val_loss", self.loss(batch))

    def configure_optimizers(self) -> object:
        return self._optimizers(self)


def descended(module: Descent, **options: Any) -> tuple[pl.Trainer, list[float]]:
    """Fit for two epochs; the weights of the second layer, bias last."""
    trainer = quiet(**{"max_epochs": 2, "num_sanity_val_steps": 0, **options})
    trainer.fit(module, batches(), batches())
    return trainer, weights(module)


def weights(module: Descent) -> list[float]:
    return [value for parameter in module.second.parameters() for value in parameter.flatten().tolist()]
