"""Fits of two processes of which one receives a signal, for the tests of where they end."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch import Tensor
from torch.nn.functional import cross_entropy

import lifecycle as pl
from lifecycle.callbacks import ModelCheckpoint
from lifecycle.train.checkpoint import load_ckpt
from lifecycle.train.seeding import seed_everything
from tests.train.strategies.parts import divided, fitted, numbers
from tests.train.strategies.ranks import Classifier, batches, trainer

WAYS: dict[str, tuple[Callable[[], Any], int, int]] = {
    "ddp": (lambda: "ddp", 1, signal.SIGTERM),
    "parts": (divided, 1, signal.SIGTERM),
    "whole": (lambda: divided("full"), 0, signal.SIGINT),
}


class Signalled(pl.Callback):
    """Sends one process a signal in batch 2 of the second epoch, after which the gradients of one wait."""

    def __init__(self, rank: int, number: int) -> None:
        self.rank = rank
        self.number = number

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
        if (trainer.current_epoch, index, trainer.global_rank) == (1, 2, self.rank):
            os.kill(os.getpid(), self.number)


def _ended(folder: Path, way: str) -> str:
    strategy, rank, number = WAYS[way]
    callbacks = [Signalled(rank, number), ModelCheckpoint(folder / way)]
    try:
        fitted(folder, callbacks=callbacks, strategy=strategy(), interrupted=True)
    except (SystemExit, KeyboardInterrupt) as error:
        return repr(error)
    return "not at all"


def signalled(folder: Path) -> Any:
    """How each process ended, where, and what the fit that goes on from there ends with; and one undisturbed."""
    found = {}
    for way, (strategy, _, _) in WAYS.items():
        seed_everything(5, verbose=False)
        ended = _ended(folder, way)
        path = folder / way / "interrupted.ckpt"
        state: Any = load_ckpt(path)["loops"]
        place = state["lifecycle"]["state"]
        seed_everything(5, verbose=False)
        resumed = numbers(*fitted(folder, ckpt_path=path, strategy=strategy()))
        seed_everything(5, verbose=False)
        whole = numbers(*fitted(folder, strategy=strategy()))
        found[way] = {
            "ended": ended,
            "folder": path.is_dir(),
            "at": [place["epoch"], place["batch"], place["pending"]],
            "same": resumed == whole,
        }
    return found


class Silent(Classifier):
    """Logs nothing, so that gradients alone are exchanged."""

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return cross_entropy(self(batch[0]), batch[1])


@contextmanager
def _counting() -> Iterator[Counter[str]]:
    """Calls of torch's exchanges; DistributedDataParallel makes its own below Python."""
    counted = Counter[str]()
    names = ("all_reduce", "all_gather", "broadcast", "barrier", "gather", "scatter", "send", "recv")
    before = {name: getattr(dist, name) for name in names}

    def counter(name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            counted[name] += 1
            return before[name](*args, **kwargs)

        return call

    try:
        for name in names:
            setattr(dist, name, counter(name))
        yield counted
    finally:
        for name, call in before.items():
            setattr(dist, name, call)


def exchanges(folder: Path) -> Any:
    """How often processes exchange something besides gradients, in an epoch of 3 steps and in one of 6."""
    found = []
    for steps in (3, 6):
        with _counting() as counted:
            trainer(folder, max_epochs=1, limit_train_batches=steps).fit(Silent(), batches(4, 24))
        found.append(dict(counted))
    return found
