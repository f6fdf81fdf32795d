"""Searches of two processes for learning rates and batch sizes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lifecycle.tuner import Tuner
from tests.train.strategies.parts import divided
from tests.train.strategies.ranks import Classifier, batches, samples, trainer, weights


class Tuned(Classifier):
    """Its batches of more than `most` samples fit into no memory; each process may have less of it."""

    def __init__(self, most: int = 1 << 30) -> None:
        super().__init__()
        self.lr = 1e-3
        self.batch_size = 2
        self.most = most

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        if len(batch[0]) > self.most:
            raise torch.OutOfMemoryError("there is no more")
        return super().training_step(batch, batch_idx)

    def train_dataloader(self) -> Any:
        return DataLoader(samples(128), self.batch_size, shuffle=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=self.lr)


def rates(folder: Path) -> Any:
    """Found with DDP and FSDP; alone as with the doubled batch."""
    found = {}
    for name in ("ddp", "fsdp") if "RANK" in os.environ else ("auto",):
        module, used = Tuned(), trainer(folder, strategy=divided() if name == "fsdp" else name)
        before = weights(module)
        finder = Tuner(used).lr_find(
            module, batches(8, 128, shuffle=False), min_lr=1e-4, max_lr=10.0, num_training=40
        )
        assert finder is not None
        after = [float(v) for p in used.strategy.state_dict(module).values() for v in p.double().flatten()]
        found[name] = {"lr": module.lr, "losses": finder.results["loss"], "untouched": before == after}
        used.fit(module, batches(8, 24))
    return found


def sizes(folder: Path) -> Any:
    """The second process has less memory than the first; each has 64 of 128 samples."""
    rank = int(os.environ.get("RANK", "0"))
    module, used = Tuned(most=20 if rank else 50), trainer(folder, strategy="ddp")
    found = Tuner(used).scale_batch_size(module, mode="binsearch", margin=0.0)
    used.fit(module)
    return [found, module.batch_size, used.global_step]


def sizes_divided(folder: Path) -> Any:
    Tuner(trainer(folder, strategy=divided())).scale_batch_size(Tuned())
