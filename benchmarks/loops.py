"""A task of training, by a loop that is written by hand and by a trainer, on the processor."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from turns import Run

STEPS = 1000


class Task:
    """A model, its data, and how many steps of it are one run."""

    def __init__(
        self, name: str, steps: int, batch: int, layers: Callable[[], nn.Module], width: int
    ) -> None:
        self.name, self.steps, self.batch, self.layers = name, steps, batch, layers
        generator = torch.Generator().manual_seed(0)
        inputs = torch.randn(steps * batch, width, generator=generator)
        self.data = TensorDataset(inputs, inputs[:, :2].clone())

    def loader(self) -> DataLoader[Any]:
        """In order, so that all train on the same batches."""
        return DataLoader(self.data, self.batch)


def micro(steps: int = STEPS) -> Task:
    """A step that does almost nothing: the trainer's cost is all there is to see."""
    return Task("micro", steps, 4, lambda: nn.Linear(32, 2), 32)


def medium(steps: int = 300) -> Task:
    """A step of about 5 ms."""

    def layers() -> nn.Module:
        return nn.Sequential(
            nn.Linear(512, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 2)
        )

    return Task("5 ms", steps, 64, layers, 512)


def raw(task: Task) -> Run:
    """The loop that one would write by hand."""

    def run() -> None:
        model = task.layers()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        for x, y in task.loader():
            loss = ((model(x) - y) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run


def trained_by(framework: Any, task: Task, logs: int, root: Path, **options: Any) -> Run:
    """The same with a trainer; `framework` has ``LightningModule`` and ``Trainer``."""

    class Model(framework.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layers = task.layers()

        def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
            x, y = batch
            loss = ((self.layers(x) - y) ** 2).mean()
            for index in range(logs):
                self.log(f"loss_{index}", loss, prog_bar=index == 0)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.01)

    def run() -> None:
        with tempfile.TemporaryDirectory(dir=root) as folder:
            framework.Trainer(max_epochs=1, accelerator="cpu", default_root_dir=folder, **options).fit(
                Model(), task.loader()
            )

    return run
