"""Modules, data and trainers that the tests of several processes share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

import lifecycle as pl


def samples(count: int) -> TensorDataset:
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(count, 6, generator=generator)
    return TensorDataset(inputs, (inputs.sum(dim=1) > 0).long())


class Classifier(pl.Module):
    """Dropout and batch normalisation only where they are asked for: both depend on who has which samples."""

    def __init__(self, *, dropout: float = 0.0, normalised: bool = False) -> None:
        super().__init__()
        from torchmetrics.classification import MulticlassAccuracy

        torch.manual_seed(11)
        self.net = nn.Sequential(
            nn.Linear(6, 8),
            nn.BatchNorm1d(8) if normalised else nn.Identity(),
            nn.Tanh(),
            nn.Dropout(dropout),
            nn.Linear(8, 2),
        )
        self.accuracy = MulticlassAccuracy(2, average="micro")
        self.train_accuracy = MulticlassAccuracy(2, average="micro")

    def forward(self, inputs: Tensor) -> Tensor:
        return self.net(inputs)  # type: ignore[no-any-return]

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        logits = self(batch[0])
        loss = cross_entropy(logits, batch[1])
        self.train_accuracy(logits, batch[1])
        self.log("loss", loss, on_step=True, on_epoch=True, sync_dist=True)
        self.log("train_acc", self.train_accuracy, on_step=False, on_epoch=True)
        self.log("seen", float(len(batch[0])), reduce_fx="sum", on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self._score(batch, "val")

    def test_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self._score(batch, "test")

    def _score(self, batch: list[Tensor], split: str) -> None:
        logits = self(batch[0])
        self.accuracy(logits, batch[1])
        self.log(f"{split}_acc", self.accuracy)
        self.log(f"{split}_loss", cross_entropy(logits, batch[1]))
        self.log(f"{split}_count", float(len(batch[0])), reduce_fx="sum")
        self.log(f"{split}_least", logits.min(), reduce_fx="min")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=0.05)


def weights(module: nn.Module) -> list[float]:
    return [float(v) for p in module.state_dict().values() for v in p.double().flatten()]


def trainer(folder: Path, **options: Any) -> pl.Trainer:
    quiet: dict[str, Any] = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "num_sanity_val_steps": 0,
        "default_root_dir": folder,
    }
    return pl.Trainer(**{**quiet, "max_epochs": 2, **options})


def batches(size: int, count: int = 26, *, shuffle: bool = True) -> DataLoader[Any]:
    """Batches of `size` for all processes together."""
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    return DataLoader(samples(count), size // ranks, shuffle=shuffle)


def fit(folder: Path) -> Any:
    """An even data set, shuffled: as one process with the doubled batch."""
    module, used = Classifier(), trainer(folder)
    used.fit(module, batches(8, 24), batches(8, 13, shuffle=False))
    return {
        "weights": weights(module),
        "metrics": {name: float(value) for name, value in sorted(used.callback_metrics.items())},
        "world": [used.global_rank, used.local_rank, used.world_size, used.num_nodes, used.node_rank],
        "zero": used.is_global_zero,
        "strategy": type(used.strategy).__name__,
    }


def score(folder: Path) -> Any:
    """13 samples: one process has one more than the other."""
    found = trainer(folder).test(Classifier(), batches(4, 13, shuffle=False), verbose=False)
    one = trainer(folder).test(Classifier(), batches(2, 1, shuffle=False), verbose=False)
    return [found, one]
