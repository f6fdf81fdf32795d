"""Fits that are interrupted and resumed, to be compared with undisturbed ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

import lifecycle as pl
from tests.train.small import Regression, loader, quiet, same, seeded

Callbacks = Callable[[], list[pl.Callback]]


class Interrupt(pl.Callback):
    """Ends a fit before its n-th batch, from 0."""

    def __init__(self, before: int | None) -> None:
        self.before = before
        self.seen = 0

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.Module, batch: Any, batch_idx: int
    ) -> None:
        if self.seen == self.before:
            raise InterruptedError
        self.seen += 1


class Saving(pl.Callback):
    """Saves at the end of every epoch, and after every batch from the n-th on."""

    saves: ClassVar[bool] = True

    def __init__(self, path: Path, after: int | None = None) -> None:
        self.path = path
        self.after = after
        self.seen = 0

    def on_train_batch_end(self, *_: Any) -> None:
        self.seen += 1

    def save_if_due(self, trainer: pl.Trainer, pl_module: pl.Module, *, epoch_ended: bool, **_: bool) -> None:
        if epoch_ended or (self.after is not None and self.seen >= self.after):
            trainer.save_checkpoint(self.path)


def fit(
    path: Path,
    callbacks: list[pl.Callback],
    make: Callable[[], pl.Module],
    *,
    before: int | None = None,
    resume: bool = False,
    **options: Any,
) -> pl.Trainer:
    trainer = quiet(
        **{"max_epochs": 5, "callbacks": [Interrupt(before), *callbacks, Saving(path, before)], **options}
    )
    trainer.fit(make(), loader(shuffle=True), loader(), ckpt_path=path if resume else None)
    return trainer


def both(
    folder: Path,
    callbacks: Callbacks,
    make: Callable[[], pl.Module] = lambda: seeded(Regression),
    *,
    before: int,
    **options: Any,
) -> tuple[pl.Trainer, pl.Trainer]:
    """An undisturbed fit, and one that was interrupted before a batch (6 make an epoch) and resumed.

    What callbacks write goes to ``folder / "kept"``, which both find empty.
    """
    whole = fit(folder / "whole.ckpt", callbacks(), make, **options)
    shutil.rmtree(folder / "kept", ignore_errors=True)
    path = folder / "parts.ckpt"
    with pytest.raises(InterruptedError):
        fit(path, callbacks(), make, before=before, **options)
    return whole, fit(path, callbacks(), make, resume=True, **options)


def differences(whole: pl.Trainer, parts: pl.Trainer) -> list[str]:
    """What did not end equal to the bit, of weights, optimizers, schedules, metrics and callbacks."""
    assert whole.lightning_module is not None and parts.lightning_module is not None
    return [
        *_differences(whole.dump_checkpoint(), parts.dump_checkpoint(), "checkpoint"),
        *_differences(whole.lightning_module.state_dict(), parts.lightning_module.state_dict(), "module"),
    ]


def _differences(first: Any, second: Any, at: str) -> list[str]:
    if same(first, second):
        return []
    if isinstance(first, Mapping) and isinstance(second, Mapping) and first.keys() == second.keys():
        return [line for key in first for line in _differences(first[key], second[key], f"{at}[{key!r}]")]
    return [f"{at}: {first} != {second}"]
