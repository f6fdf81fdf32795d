"""Training or evaluation mode for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def mode_of(module: nn.Module, *, training: bool) -> Iterator[None]:
    """Put `module` into a mode, then give every part the one it had: a user may keep some of it frozen."""
    with modes_kept(module):
        module.train(training)
        yield


@contextmanager
def modes_kept(module: nn.Module) -> Iterator[None]:
    """Give every part the mode that it has now, whatever happens in between."""
    before = [(part, part.training) for part in module.modules()]
    try:
        yield
    finally:
        for part, was in before:
            part.training = was
