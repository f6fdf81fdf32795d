"""A fingerprint of what the loaders of a data module hold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lifecycle.core.errors import NoFingerprintError
from lifecycle.train.feed import evaluation_feeds

if TYPE_CHECKING:
    from lifecycle.train.data import DataModule


def fingerprint(data: DataModule) -> str:
    """What the data module declares, or SHA-256 over every batch that its loaders give under a fixed seed.

    Raises:
        NoFingerprintError: a batch holds something whose content cannot be read.
    """
    from lifecycle.train.data import has_loader

    declared = data.fingerprint()
    if declared is not None:
        return declared
    data.prepare_data()
    digest = hashlib.sha256()
    for stage, name in (("fit", "train_dataloader"), ("fit", "val_dataloader"), ("test", "test_dataloader")):
        if has_loader(data, name):
            data.setup(stage)
            digest.update(name.encode())
            for feed in evaluation_feeds(getattr(data, name)()):
                for batch in feed.batches(seed=0, epoch=0):
                    for part in _content(batch):
                        digest.update(part)
    return digest.hexdigest()


def _content(item: object) -> Iterator[bytes]:
    """What a batch holds, as bytes, each part with its type and shape."""
    if isinstance(item, Tensor):
        yield f"tensor {item.dtype} {tuple(item.shape)}".encode()
        yield item.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    elif isinstance(item, np.ndarray) and item.dtype != object:
        yield f"array {item.dtype.str} {item.shape}".encode()
        yield item.tobytes()
    elif isinstance(item, dict):
        for key, value in item.items():
            yield f"key {key!r}".encode()
            yield from _content(value)
    elif isinstance(item, list | tuple):
        yield f"sequence {len(item)}".encode()
        for value in item:
            yield from _content(value)
    elif item is None or isinstance(item, str | bytes | int | float | np.generic):
        yield repr(item).encode()
    else:
        raise NoFingerprintError(
            f"a {type(item).__name__} in a batch has no content to tell data apart by: "
            "define fingerprint(self) -> str in the DataModule"
        )
