"""Handwritten digits that scikit-learn ships, and a small network without anything drawn at random in it."""

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset, random_split

import lifecycle as pl


class DigitsNet(pl.Module):
    """A perceptron; dropout or batch normalisation would make one process differ from two.

    Args:
        width: Units of the hidden layer.
        lr: The learning rate.
    """

    def __init__(self, width: int = 64, lr: float = 0.005) -> None:
        super().__init__()
        self.lr = lr
        self.example_input_array = torch.zeros(2, 64)
        self.layers = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.layers(pixels / 16)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        pixels, digits = batch
        loss = cross_entropy(self(pixels), digits)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.score(batch, "val")

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.score(batch, "test")

    def score(self, batch: tuple[Tensor, Tensor], split: str) -> None:
        pixels, digits = batch
        self.log(f"{split}_acc", (self(pixels).argmax(dim=1) == digits).float().mean(), prog_bar=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.lr)


class Digits(pl.DataModule):
    """1,797 scanned digits of 8×8 pixels: 1,024 train, 233 validate, 540 test.

    Args:
        batch_size: Of each process.
    """

    def __init__(self, batch_size: int = 64) -> None:
        self.batch_size = batch_size

    def setup(self, stage: str) -> None:
        digits = load_digits()
        pixels = torch.from_numpy(digits.data).float()
        labels = torch.from_numpy(digits.target).long()
        split = torch.Generator().manual_seed(0)
        self.train, self.val, self.test = random_split(TensorDataset(pixels, labels), (1024, 233, 540), split)

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.train, self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.val, 233)

    def test_dataloader(self) -> DataLoader:
        return DataLoader(self.test, 135)
