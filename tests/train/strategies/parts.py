"""Fits whose checkpoints are written by all processes, for the tests of sharded checkpoints."""

from __future__ import annotations

import contextlib
import os
import resource
import warnings
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import lifecycle as pl
from lifecycle.callbacks import ModelCheckpoint, OnExceptionCheckpoint
from lifecycle.strategies import FSDPStrategy
from lifecycle.train.callbacks.newest_checkpoint import newest_checkpoint
from lifecycle.train.checkpoint import load_ckpt
from tests.train.strategies.ranks import Classifier, batches, trainer

EPOCHS = 2


def divided(kind: Any = "sharded") -> FSDPStrategy:
    return FSDPStrategy(auto_wrap_policy={nn.Linear}, state_dict_type=kind)


def numbers(module: nn.Module, used: Any) -> dict[str, list[float]]:
    """Weights and optimizer state, put together."""
    state = used.strategy.optimizer_state(module, used.optimizers[0])["state"]
    return {
        "weights": [
            float(v) for p in used.strategy.state_dict(module).values() for v in p.double().flatten()
        ],
        "optimizer": [
            float(v)
            for values in state.values()
            for name in ("exp_avg", "exp_avg_sq", "step")
            for v in values[name].flatten()
        ],
    }


def fitted(
    folder: Path,
    *,
    ckpt_path: Any = None,
    callbacks: Any = (),
    dropout: float = 0.3,
    strategy: Any = None,
    interrupted: bool = False,
) -> Any:
    """A module and its trainer; windows of 2 batches of 4 samples, so that one is cut off with gradients."""
    module = Classifier(dropout=dropout)
    used = trainer(
        folder,
        max_epochs=EPOCHS,
        strategy=strategy or divided(),
        callbacks=list(callbacks),
        accumulate_grad_batches=2,
        enable_checkpointing=bool(callbacks),
    )
    with contextlib.nullcontext() if interrupted else contextlib.suppress(KeyboardInterrupt):
        used.fit(module, batches(4, 24), batches(4, 13, shuffle=False), ckpt_path=ckpt_path)
    return module, used


def undisturbed(folder: Path) -> Any:
    return numbers(*fitted(folder))


class Middle(pl.Callback):
    """Saves in the second epoch before batch 3, when gradients of one wait, and ends the fit in the next."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
        if (trainer.current_epoch, index) == (1, 3):
            trainer.save_checkpoint(self.path, wait=False)
        if (trainer.current_epoch, index) == (1, 4):
            raise KeyboardInterrupt


def saved(folder: Path) -> Any:
    """Cut off in the second epoch; what is kept are the best, the last, and one of the middle of a window."""
    keep = ModelCheckpoint(folder / "kept", monitor="val_loss", save_top_k=1, save_last=True)
    fitted(folder, callbacks=[Middle(folder / "middle.ckpt"), keep])
    _, used = fitted(folder)
    used.save_checkpoint(folder / "parted.ckpt")
    vars(used.strategy)["_type"] = "full"  # the same state, as the first process writes it
    used.save_checkpoint(folder / "whole.ckpt")
    return {"best": keep.best_model_path, "last": keep.last_model_path}


def resumed(folder: Path) -> Any:
    """From the middle of a window, to the bit; and from ``"last"``, which is of the end of an epoch."""
    before = folder.parent / "saved"
    middle = numbers(*fitted(folder, ckpt_path=before / "middle.ckpt"))
    keep = ModelCheckpoint(before / "kept", monitor="val_loss", save_top_k=1, save_last=True)
    module, used = fitted(folder, ckpt_path="last", callbacks=[keep])
    begun = str(used.ckpt_path)
    best = used.test(Classifier(), batches(4, 13, shuffle=False), ckpt_path="best", verbose=False)
    return {
        "middle": middle,
        "last": numbers(module, used),
        "from": begun,
        "best": best,
        "best_path": keep.best_model_path,
    }


def other_ways(folder: Path) -> Any:
    """What two processes go on with that one has written, and DDP with what was divided.

    No dropout: it draws other numbers in each process.
    """
    one = folder.parent / "one_saves" / "one.ckpt"
    kept = folder.parent / "saved" / "middle.ckpt"
    module, used = fitted(folder, ckpt_path=one, dropout=0.0)
    ddp = fitted(folder, ckpt_path=kept, dropout=0.0, strategy="ddp")
    fsdp = fitted(folder, ckpt_path=kept, dropout=0.0)
    return {"one": numbers(module, used), "ddp": numbers(*ddp), "fsdp": numbers(*fsdp)}


def one_saves(folder: Path) -> Any:
    """One process divides nothing, and writes the same format."""
    fitted(folder, callbacks=[Middle(folder / "one.ckpt")], dropout=0.0)
    return {
        "files": sorted(os.listdir(folder / "one.ckpt")),
        "end": numbers(*fitted(folder, ckpt_path=folder / "one.ckpt", dropout=0.0)),
        "step": load_ckpt(folder / "one.ckpt")["global_step"],
    }


def broken(folder: Path) -> Any:
    """Something is raised in both; what they have together can be saved no more."""

    class Breaks(pl.Callback):
        def on_train_batch_end(self, trainer: Any, *_: object) -> None:
            if trainer.global_step:
                raise ArithmeticError("this batch is cursed")

    keep = ModelCheckpoint(folder, save_on_exception=True)
    with pytest.raises(ArithmeticError) as caught:
        fitted(folder, callbacks=[Breaks(), keep, OnExceptionCheckpoint(folder)])
    return [caught.value.__notes__, os.listdir(folder)]


def full_disk(folder: Path) -> Any:
    """The second process may write no file of more than 2,000 bytes, for one save; training goes on."""
    told = []

    class Saves(pl.Callback):
        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int) -> None:
            for at, name in ((0, "first"), (2, "second"), (4, "third")):
                if index == at:
                    trainer.save_checkpoint(folder / f"{name}.ckpt", wait=False)
            if index == 0:
                trainer.writer.wait()
                if trainer.global_rank:
                    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
            if index == 3:
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    trainer.writer.wait()
                told.extend(str(each.message) for each in caught)
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)

    used = trainer(folder, max_epochs=1, strategy=divided(), callbacks=[Saves()])
    used.fit(Classifier(), batches(4, 24))
    names = sorted(path.name for path in folder.iterdir())
    return {
        "told": told,
        "names": names,
        "newest": str(newest_checkpoint([folder])),
        "step": used.global_step,
    }
