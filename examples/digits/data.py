"""1,797 scanned digits of 8×8 pixels that scikit-learn ships: 997 train, 260 validate, 540 test."""

import hashlib

import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset, random_split

import lifecycle as pl


class Digits(pl.DataModule):
    """Splits the digits at random, in the same way each time.

    Args:
        batch_size: Images in a batch.
    """

    sizes = (997, 260, 540)

    def __init__(self, batch_size: int = 64) -> None:
        self.batch_size = batch_size

    def setup(self, stage: str) -> None:
        digits = load_digits()
        images = torch.from_numpy(digits.images).to(torch.uint8).unsqueeze(1)
        labels = torch.from_numpy(digits.target).long()
        split = torch.Generator().manual_seed(0)
        self.train, self.val, self.test = random_split(TensorDataset(images, labels), self.sizes, split)

    def fingerprint(self) -> str:
        digits = load_digits()
        return hashlib.sha256(digits.images.tobytes() + digits.target.tobytes()).hexdigest()

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.train, self.batch_size, shuffle=True, drop_last=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.val, 130)

    def test_dataloader(self) -> DataLoader:
        return DataLoader(self.test, 270)
