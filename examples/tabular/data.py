"""569 tumours that scikit-learn ships (Wisconsin diagnostic breast cancer): measured, and what they were."""

import hashlib

import torch
from sklearn.datasets import load_breast_cancer
from torch.utils.data import DataLoader, TensorDataset, random_split

import lifecycle as pl

SIZES = (313, 86, 170)


class Tumours(pl.DataModule):
    """30 measurements of cell nuclei each; split at random, in the same way each time.

    Args:
        batch_size: Rows in a batch.
    """

    def __init__(self, batch_size: int = 32) -> None:
        self.batch_size = batch_size

    def setup(self, stage: str) -> None:
        table = load_breast_cancer()
        rows = torch.from_numpy(table.data).float()
        malignant = torch.from_numpy(table.target == 0).long()
        split = torch.Generator().manual_seed(0)
        self.train, self.val, self.test = random_split(TensorDataset(rows, malignant), SIZES, split)

    def fingerprint(self) -> str:
        table = load_breast_cancer()
        return hashlib.sha256(table.data.tobytes() + table.target.tobytes()).hexdigest()

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.train, self.batch_size, shuffle=True, drop_last=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.val, 43)

    def test_dataloader(self) -> DataLoader:
        return DataLoader(self.test, 85)
