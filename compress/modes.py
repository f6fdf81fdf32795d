"""Leaving no trace: copies to try things on, imports that do not talk."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def copied(module: M) -> M:
    """A copy that shares no tensor with `module`; a trainer that it belongs to is referred to, not copied."""
    trainer = getattr(module, "trainer", None)
    return copy.deepcopy(module, {} if trainer is None else {id(trainer): trainer})


def one_sample(example: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The first sample of every input; axis 0 counts samples."""
    return tuple(tensor[:1] for tensor in example)


@contextmanager
def silent_import() -> Iterator[None]:
    """Import torchao without its remarks on kernels of other devices that it could not load."""
    loggers = [logging.getLogger(name) for name in ("torchao", "torch.utils._pytree")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
