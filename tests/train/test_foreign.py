"""A fit that goes on from a checkpoint of PyTorch Lightning: what it wrote, and where a fit of its own went on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lifecycle.callbacks import EarlyStopping, ModelCheckpoint
from lifecycle.train.checkpoint import load_ckpt
from lifecycle.train.writer import save_ckpt
from tests.train.small import Plain, loader, quiet, same, seeded


def progress(done: int, seen: int, *, last: bool, over: bool = False) -> dict[str, Any]:
    """As Lightning 2.6.6 writes it, after `done` batches of an epoch and `seen` of all, or when a fit is over."""
    counts = {name: done for name in ("ready", "completed", "started", "processed")}
    return {
        "fit_loop": {
            "state_dict": {},
            "epoch_loop.state_dict": {"_batches_that_stepped": seen},
            "epoch_loop.batch_progress": {
                "current": counts,
                "total": dict.fromkeys(counts, seen),
                "is_last_batch": last,
            },
            "epoch_progress": {
                "current": {"ready": 2, "completed": 1 + over, "started": 2, "processed": 1 + over}
            },
        }
    }


def fit(folder: Path, epochs: int, *, ckpt_path: Path | None = None) -> tuple[Any, Plain]:
    callbacks = [EarlyStopping("val_loss", patience=9), ModelCheckpoint(folder, save_top_k=-1)]
    trainer, module = quiet(max_epochs=epochs, callbacks=callbacks), seeded(Plain)
    trainer.fit(module, loader(), loader(), ckpt_path=ckpt_path)
    return trainer, module


@pytest.mark.parametrize(("epoch", "over"), [(1, False), (2, True)])
def test_it_goes_on_where_lightnings_would(tmp_path: Path, epoch: int, over: bool) -> None:
    fit(tmp_path, 2)
    content = load_ckpt(tmp_path / "epoch=1-step=12.ckpt")
    loops = progress(6, 12, last=True, over=over)
    save_ckpt(tmp_path / "foreign.ckpt", content | {"epoch": epoch, "loops": loops})
    where = "epoch 2, batch 0"
    with pytest.warns(
        UserWarning, match=f"written by PyTorch Lightning 2.6.0: the fit goes on at {where}, with"
    ):
        trainer, module = fit(tmp_path, 4, ckpt_path=tmp_path / "foreign.ckpt")
    assert (trainer.current_epoch, trainer.global_step, trainer.batch_step) == (4, 24, 24)
    whole, expected = fit(tmp_path / "whole", 4)
    assert same(module.state_dict(), expected.state_dict())
    assert torch.equal(trainer.early_stopping_callback.best_score, whole.early_stopping_callback.best_score)


def test_within_an_epoch_it_goes_on_with_the_next_batch(tmp_path: Path) -> None:
    seen: list[int] = []

    class Watched(Plain):
        def on_train_batch_start(self, batch: object, batch_idx: int) -> None:
            seen.append(batch_idx)

    quiet(max_steps=4, callbacks=ModelCheckpoint(tmp_path, filename="cut")).fit(Plain(), loader())
    content = load_ckpt(tmp_path / "cut.ckpt")
    save_ckpt(tmp_path / "foreign.ckpt", content | {"epoch": 0, "loops": progress(4, 4, last=False)})
    with pytest.warns(UserWarning, match="at epoch 0, batch 4, "):
        quiet(max_epochs=1).fit(Watched(), loader(), ckpt_path=tmp_path / "foreign.ckpt")
    assert seen == [4, 5]
