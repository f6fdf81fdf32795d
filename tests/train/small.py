"""Small modules, data and trainers that the tests of the trainer share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, TensorDataset

import lifecycle as pl
from lifecycle.callbacks import Checkpoint, ProgressBar
from lifecycle.core.canonical import JSON

Batch = list[Tensor]


def samples(count: int = 22) -> TensorDataset:
    """Inputs (4,) and targets (1,); batches of 4 leave a last one of 2."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(count, 4, generator=generator)
    return TensorDataset(inputs, inputs.sum(dim=1, keepdim=True) + 0.1)


def loader(*, shuffle: bool = False, workers: int = 0, batch_size: int = 4) -> DataLoader[Any]:
    return DataLoader(samples(), batch_size, shuffle=shuffle, num_workers=workers)


class Regression(pl.Module):
    """With dropout, AdamW and one cycle of learning rates: everything that a resume can get wrong."""

    def __init__(self, width: int = 8, dropout: float = 0.5) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 1))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.net(inputs)  # type: ignore[no-any-return]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = mse_loss(self(batch[0]), batch[1])
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.log("val_loss", mse_loss(self(batch[0]), batch[1]))

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.log("test_loss", mse_loss(self(batch[0]), batch[1]))

    def configure_optimizers(self) -> object:
        assert self.trainer is not None
        optimizer = torch.optim.AdamW(self.parameters(), lr=0.05)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.05, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Plain(Regression):
    """The same without dropout and schedule, by plain gradient descent."""

    def __init__(self, lr: float = 0.05) -> None:
        super().__init__(dropout=0.0)
        self.lr = lr

    def configure_optimizers(self) -> object:
        return torch.optim.SGD(self.parameters(), lr=self.lr)


class Recorder:
    """A tracker that keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[tuple[int | None, dict[str, float]]] = []

    def log_params(self, params: Mapping[str, JSON]) -> None:
        raise NotImplementedError

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.sent.append((step, dict(metrics)))

    def log_artifacts(self, folder: Path, to: str = "") -> None:
        raise NotImplementedError

    def set_tags(self, tags: Mapping[str, str]) -> None:
        raise NotImplementedError


def quiet(**options: Any) -> pl.Trainer:
    """A trainer that writes and shows nothing unless told to."""
    given = options.get("callbacks")
    kinds = [type(callback) for callback in (given if isinstance(given, list | tuple) else [given])]
    # What is compared with numbers was computed on a CPU.
    silent: dict[str, Any] = {"enable_model_summary": False, "logger": False, "accelerator": "cpu"}
    # A callback of a kind that is switched off is refused.
    for switch, kind in (("enable_checkpointing", Checkpoint), ("enable_progress_bar", ProgressBar)):
        if not any(issubclass(found, kind) for found in kinds):
            silent[switch] = False
    return pl.Trainer(**{**silent, "max_epochs": 1, **options})


def seeded(module: type[Regression] = Regression, **arguments: Any) -> Any:
    """A module with the weights of seed 7, and the generators as they are before a fit of seed 7."""
    pl.seed_everything(7)
    made = module(**arguments)
    pl.seed_everything(7)
    return made


def same(first: object, second: object) -> bool:
    """Whether two trees of tensors and plain values are equal to the bit."""
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return first.dtype == second.dtype and torch.equal(first, second)
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second
