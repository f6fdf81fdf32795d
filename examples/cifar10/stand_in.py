"""Stripes in the form of CIFAR-10, to try the example where the photographs are not."""

from __future__ import annotations

import math

import torch
from cifar10 import Images
from torch import Tensor
from torch.utils.data import DataLoader

import lifecycle as pl

SIZES = (1600, 400, 500)


def draw(count: int, seed: int) -> Images:
    """Pictures (count, 3, 32, 32) of stripes in noise; the label is their direction, of ten in a half turn.

    They are not mirrored to train on: that would make of one direction another.
    """
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 10
    angle = labels * (math.pi / 10)
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    place = angle.cos()[:, None, None] * columns + angle.sin()[:, None, None] * rows
    phase = 2 * math.pi * torch.rand(count, 1, 1, generator=generator)
    stripes = (place * (2 * math.pi / 8) + phase).sin()[:, None].expand(-1, 3, -1, -1)
    colour = 0.5 + torch.rand(count, 3, 1, 1, generator=generator)
    noise = torch.randn(count, 3, 32, 32, generator=generator)
    pixels = 128 + 45 * colour * stripes + 70 * noise
    return Images(pixels.clamp(0, 255).to(torch.uint8), labels)


class StandIn(pl.DataModule):
    """2,500 drawn pictures: what is learned from them says nothing about CIFAR-10.

    Args:
        batch_size: Pictures in a batch to train on.
    """

    def __init__(self, batch_size: int = 64) -> None:
        self.batch_size = batch_size

    def setup(self, stage: str) -> None:
        self.train, self.val, self.test = (draw(size, seed) for seed, size in enumerate(SIZES))

    def fingerprint(self) -> str:
        return f"stripes {SIZES}, torch {torch.__version__}"

    def train_dataloader(self) -> DataLoader[tuple[Tensor, int]]:
        return DataLoader(self.train, self.batch_size, shuffle=True, drop_last=True)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, int]]:
        return DataLoader(self.val, 400)

    def test_dataloader(self) -> DataLoader[tuple[Tensor, int]]:
        return DataLoader(self.test, 500)
