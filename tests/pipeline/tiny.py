"""The smallest project that has every stage: trained, pruned, quantized, exported, scored and registered."""

from __future__ import annotations

from pathlib import Path

PIPELINE = """\
name: tiny
model: model.py:Net
data: data.py:Data
seed: 7
train: {trainer: {max_epochs: 2}}
prune: {macs: 0.5, round_to: 1, epochs: 1}
quantize: {method: static, calibration_batches: 2}
export: {formats: [onnx]}
evaluate: {timed_calls: 2, steps: false}
register: {alias: challenger}
budget: {metric: val_acc, max_drop: 0.9}
gates: {test_acc: {min: 0.1}}
"""
MODEL = """\
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import lifecycle as pl


class Net(pl.Module):
    def __init__(self, width=16):
        super().__init__()
        self.save_hyperparameters()
        self.layers = nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, 2))
        self.example_input_array = torch.zeros(2, 8)

    def forward(self, rows):
        return self.layers(rows)

    def training_step(self, batch, batch_idx):
        loss = cross_entropy(self(batch[0]), batch[1])
        self.log("train_loss", loss, on_step=True)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_acc", (self(batch[0]).argmax(1) == batch[1]).float().mean())

    def test_step(self, batch, batch_idx):
        self.log("test_acc", (self(batch[0]).argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.02)
"""
DATA = """\
import torch
from torch.utils.data import DataLoader, TensorDataset

import lifecycle as pl


class Data(pl.DataModule):
    def loader(self, seed, count, shuffle=False):
        rows = torch.randn(count, 8, generator=torch.Generator().manual_seed(seed))
        return DataLoader(TensorDataset(rows, (rows.sum(1) > 0).long()), 16, shuffle=shuffle)

    def train_dataloader(self):
        return self.loader(0, 320, shuffle=True)

    def val_dataloader(self):
        return self.loader(1, 64)

    def test_dataloader(self):
        return self.loader(2, 64)
"""


def tiny_project(folder: Path) -> Path:
    """Write it into a new folder."""
    folder.mkdir(parents=True)
    for name, text in (("pipeline.yaml", PIPELINE), ("model.py", MODEL), ("data.py", DATA)):
        (folder / name).write_text(text)
    return folder
