"""CIFAR-10: 60,000 colour photographs of 32×32 pixels in ten classes, 10,000 of them for the test.

Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009;
https://www.cs.toronto.edu/~kriz/cifar.html. Read from its *binary version*: records of one byte for the
label, then 1,024 each for red, green and blue, row by row.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from archive import Archive, fetch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import DataLoader, Dataset

import lifecycle as pl
from lifecycle.core.errors import LifecycleError

TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILES = ("test_batch.bin",)
NAMES_FILE = "batches.meta.txt"
SHAPE = (3, 32, 32)
RECORD_BYTES = 1 + 3 * 32 * 32
TORONTO = Archive(
    url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    md5="c32a1d4ab5d03f1284b67883e8d87530",
    folder="cifar-10-batches-bin",
    sizes={**dict.fromkeys((*TRAIN_FILES, *TEST_FILES), 10_000 * RECORD_BYTES), NAMES_FILE: None},
)

Transform = Callable[[Tensor], Tensor]


def cache_folder() -> Path:
    """Where the data goes unless told otherwise: once for all copies of this example."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lifecycle" / "cifar10"


class Images(Dataset[tuple[Tensor, int]]):
    """Pictures and what they show.

    Args:
        images: uint8, (count, 3, 32, 32).
        labels: int64, (count,).
        transform: Changes a picture (3, 32, 32) each time it is read.
    """

    def __init__(self, images: Tensor, labels: Tensor, transform: Transform | None = None) -> None:
        self.images = images
        self.labels = labels
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self.images[index]
        return (image if self.transform is None else self.transform(image)), int(self.labels[index])


class CIFAR10(Images):
    """The 50,000 pictures to train on, or the 10,000 of the test; downloads them if they are not there.

    Args:
        folder: Where the data lies, by default `cache_folder`.
        train: Which of both.
        transform: Changes a picture each time it is read: `augment`, say.
        archive: Where the data comes from.

    Attributes:
        classes: Names, in the order of the labels.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        train: bool,
        transform: Transform | None = None,
        archive: Archive = TORONTO,
    ) -> None:
        files = fetch(archive, Path(folder) if folder else cache_folder())
        images, labels = zip(
            *(read_records(files / name) for name in (TRAIN_FILES if train else TEST_FILES)), strict=True
        )
        super().__init__(torch.cat(images), torch.cat(labels), transform)
        self.classes = read_names(files / NAMES_FILE)


def read_records(path: Path) -> tuple[Tensor, Tensor]:
    """Pictures (count, 3, 32, 32) in uint8 and labels (count,) in int64 of one file.

    Raises:
        LifecycleError: it does not consist of records, or a label is none.
    """
    content = np.fromfile(path, np.uint8)
    if content.size == 0 or content.size % RECORD_BYTES:
        raise LifecycleError(f"{path} has {content.size:,} bytes, which is no multiple of {RECORD_BYTES:,}")
    records = content.reshape(-1, RECORD_BYTES)
    labels = torch.from_numpy(records[:, 0].astype(np.int64))
    if int(labels.max()) > 9:
        raise LifecycleError(f"{path} holds the label {int(labels.max())}; they go from 0 to 9")
    return torch.from_numpy(records[:, 1:].reshape(-1, *SHAPE)), labels


def read_names(path: Path) -> tuple[str, ...]:
    """The ten names of the classes, one to a line."""
    names = tuple(path.read_text().split())
    if len(names) != 10:
        raise LifecycleError(f"{path} holds {len(names)} names of classes instead of 10")
    return names


def augment(image: Tensor) -> Tensor:
    """What is usual for CIFAR-10: a random crop, mirrored every other time."""
    return random_flip(random_crop(image))


def random_crop(image: Tensor, padding: int = 4) -> Tensor:
    """A part of the picture's own size, out of the picture with a black margin."""
    height, width = image.shape[-2:]
    top, left = torch.randint(2 * padding + 1, (2,)).tolist()
    return pad(image, (padding,) * 4)[..., top : top + height, left : left + width]


def random_flip(image: Tensor) -> Tensor:
    """The picture, or its mirror image."""
    return image.flip(-1) if torch.rand(()) < 0.5 else image


class CIFAR10Data(pl.DataModule):
    """CIFAR-10 for pipelines: the last of the training pictures are kept to choose models by.

    Args:
        batch_size: Pictures in a batch to train on.
        val_images: How many are kept.
        folder: Where the data lies, by default `cache_folder`.
        num_workers: Processes that read and augment.
    """

    archive = TORONTO

    def __init__(
        self, batch_size: int = 64, val_images: int = 5_000, folder: str | None = None, num_workers: int = 0
    ) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.val_images = val_images
        self.folder = folder
        self.num_workers = num_workers

    def prepare_data(self) -> None:
        fetch(self.archive, Path(self.folder) if self.folder else cache_folder())

    def setup(self, stage: str) -> None:
        if stage in ("fit", "validate"):
            known = CIFAR10(self.folder, train=True, archive=self.archive)
            # The archive's pictures are in random order already.
            kept = len(known) - self.val_images
            self.train = Images(known.images[:kept], known.labels[:kept], augment)
            self.val = Images(known.images[kept:], known.labels[kept:])
        else:
            self.test = CIFAR10(self.folder, train=False, archive=self.archive)

    def fingerprint(self) -> str:
        return f"CIFAR-10 {self.archive.md5}, the last {self.val_images} to validate"

    def train_dataloader(self) -> DataLoader:
        return DataLoader(
            self.train, self.batch_size, shuffle=True, drop_last=True, num_workers=self.num_workers
        )

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.val, 500, num_workers=self.num_workers)

    def test_dataloader(self) -> DataLoader:
        return DataLoader(self.test, 500, num_workers=self.num_workers)
