"""Wide linear layers for handwritten digits: more of them than the digits need."""

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset, random_split

import lifecycle as pl


class WideNet(pl.Module):
    """A perceptron of two hidden layers.

    Args:
        width: Units of each.
        lr: The learning rate.
    """

    def __init__(self, width: int = 256, lr: float = 0.002) -> None:
        super().__init__()
        self.lr = lr
        self.example_input_array = torch.zeros(2, 64)
        self.hidden1 = nn.Linear(64, width)
        self.hidden2 = nn.Linear(width, width)
        self.head = nn.Linear(width, 10)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.hidden1(pixels / 16).relu()
        return self.head(self.hidden2(x).relu())

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
        # The decay of weights lets singular values fall that the digits do not need.
        return torch.optim.AdamW(self.parameters(), lr=self.lr, weight_decay=0.5)


class Digits(pl.DataModule):
    """1,797 scanned digits of 8×8 pixels that scikit-learn ships: 997 train, 260 validate, 540 test."""

    def setup(self, stage: str) -> None:
        digits = load_digits()
        pixels = torch.from_numpy(digits.data).float()
        split = torch.Generator().manual_seed(0)
        labelled = TensorDataset(pixels, torch.from_numpy(digits.target).long())
        self.train, self.val, self.test = random_split(labelled, (997, 260, 540), split)

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.train, 64, shuffle=True, drop_last=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.val, 130)

    def test_dataloader(self) -> DataLoader:
        return DataLoader(self.test, 270)
