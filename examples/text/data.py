"""Documentation, and whose it is: real English, read from the sources of packages that are installed here."""

import ast
import hashlib
import random
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from words import encode, pad

import lifecycle as pl

LABELS = ("numpy", "torch", "sklearn", "mlflow")
DISTRIBUTIONS = ("numpy", "torch", "scikit-learn", "mlflow")
EACH = 750
LEAST_WORDS = 12

Sample = tuple[list[int], int]


class Docstrings(pl.DataModule):
    """Docstrings, 750 each of NumPy, PyTorch, scikit-learn and MLflow, shuffled in the same way each time.

    Args:
        batch_size: Texts in a batch, padded to the longest of it.
    """

    def __init__(self, batch_size: int = 64) -> None:
        self.batch_size = batch_size

    def setup(self, stage: str) -> None:
        samples = [(encode(text), label) for text, label in texts()]
        self.train, self.val, self.test = samples[:2100], samples[2100:2400], samples[2400:]

    def fingerprint(self) -> str:
        """The text of these versions is always the same."""
        versions = [f"{name} {version(name)}" for name in DISTRIBUTIONS]
        return hashlib.sha256(" ".join([*versions, str(EACH)]).encode()).hexdigest()

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.train, self.batch_size, shuffle=True, drop_last=True, collate_fn=collate)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.val, 100, collate_fn=collate)

    def test_dataloader(self) -> DataLoader:
        return DataLoader(self.test, 100, collate_fn=collate)


def collate(samples: list[Sample]) -> tuple[Tensor, Tensor]:
    """Numbers of words (batch, length), int64, padded with 0; and labels (batch,)."""
    rows, labels = zip(*samples, strict=True)
    return torch.tensor(pad(list(rows))), torch.tensor(labels)


@cache
def texts() -> list[tuple[str, int]]:
    """Each text and the number of its label, none twice, as many of each."""
    draw = random.Random(7)
    found: list[tuple[str, int]] = []
    for label, package in enumerate(LABELS):
        unlike = dict.fromkeys(docstrings(package, draw))
        found += [(text, label) for text in islice(unlike, EACH)]
    draw.shuffle(found)
    return found


def docstrings(package: str, draw: random.Random) -> Iterator[str]:
    """Docstrings in a package's sources, which are read and not run, until there are enough."""
    spec = find_spec(package)
    folder = Path((spec.submodule_search_locations or [""])[0]) if spec else Path()
    files = sorted(path for path in folder.rglob("*.py") if "tests" not in path.parts)
    draw.shuffle(files)
    count = 0
    for path in files:
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                text = ast.get_docstring(node) or ""
                if len(encode(text)) >= LEAST_WORDS:
                    count += 1
                    yield text
        if count > 2 * EACH:
            return
