from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

import lifecycle as pl
from lifecycle.callbacks import ModelCheckpoint
from tests.train.small import Plain, loader, quiet


class Scored(Plain):
    """Its score in each epoch is given."""

    def __init__(self, scores: tuple[float, ...]) -> None:
        super().__init__()
        self.scores = scores

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("score", self.scores[self.current_epoch])


def fit(keep: ModelCheckpoint, scores: tuple[float, ...], **options: Any) -> ModelCheckpoint:
    trainer = quiet(**{"max_epochs": len(scores), "limit_train_batches": 1, "callbacks": [keep], **options})
    trainer.fit(Scored(scores), loader(), loader())
    return keep


def epoch_of(path: str | Path) -> int:
    return int(torch.load(path, weights_only=True)["epoch"])


@pytest.mark.parametrize(
    ("mode", "scores", "best"),
    [
        ("max", (0.5, 0.9, 0.7), 1),
        ("min", (0.5, 0.9, 0.7), 0),
        ("max", (0.9, 0.9, 0.9), 0),  # no improvement, no change
        ("min", (math.nan, 0.9, 0.7), 2),
        ("max", (0.5, math.nan, 0.4), 0),
        ("min", (0.0, -1.0, math.inf), 1),
    ],
)
def test_the_best_epoch_by_the_monitor_and_the_last_are_kept(
    tmp_path: Path, mode: Literal["min", "max"], scores: tuple[float, ...], best: int
) -> None:
    keep = fit(ModelCheckpoint(tmp_path, monitor="score", mode=mode), scores)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.ckpt", "last.ckpt"]
    assert keep.best_model_path == str(tmp_path / "best.ckpt")
    assert keep.last_model_path == str(tmp_path / "last.ckpt")
    assert epoch_of(keep.best_model_path) == best
    assert epoch_of(keep.last_model_path) == len(scores) - 1
    assert keep.best_model_score == pytest.approx(scores[best])


def test_without_a_monitor_the_last_epoch_is_the_best(tmp_path: Path) -> None:
    keep = fit(ModelCheckpoint(tmp_path), (3.0, 2.0, 1.0))
    assert epoch_of(keep.best_model_path) == 2
    assert keep.best_model_score is None


def test_the_last_epoch_need_not_be_kept(tmp_path: Path) -> None:
    keep = fit(ModelCheckpoint(tmp_path, monitor="score", save_last=False), (1.0, 2.0))
    assert [path.name for path in tmp_path.iterdir()] == ["best.ckpt"]
    assert keep.last_model_path == ""


def test_the_score_is_of_the_epoch_at_hand_even_when_others_log_it_at_its_end(tmp_path: Path) -> None:
    class Late(pl.Callback):
        def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.Module) -> None:
            pl_module.log("late", float(trainer.current_epoch))

    keep = ModelCheckpoint(tmp_path, monitor="late", mode="max")
    fit(keep, (0.0, 0.0, 0.0), callbacks=[keep, Late()])
    assert (epoch_of(keep.best_model_path), keep.best_model_score) == (2, 2.0)


def test_epochs_without_validation_wait_for_the_next(tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, monitor="score", mode="max")
    fit(keep, (9.0, 0.5, 9.0, 0.7, 9.0), check_val_every_n_epoch=2)
    assert epoch_of(keep.best_model_path) == 3
    assert keep.best_model_score == pytest.approx(0.7)


def test_a_monitor_that_nobody_logs_is_an_error_that_names_what_is_logged(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError,
        match=r"^ModelCheckpoint monitors 'scor', which nobody logged: did you mean 'score'\? Allowed: score, ",
    ):
        fit(ModelCheckpoint(tmp_path, monitor="scor"), (1.0,))


def test_a_wrong_mode_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^ModelCheckpoint\(mode='maximum'\): allowed: min, max$"):
        ModelCheckpoint(mode="maximum")  # type: ignore[arg-type]


def test_a_resumed_fit_goes_on_comparing_with_the_best_so_far(tmp_path: Path) -> None:
    scores = (0.9, 0.5, 0.8)
    fit(ModelCheckpoint(tmp_path, monitor="score", mode="max"), scores, max_epochs=2)
    keep = ModelCheckpoint(tmp_path, monitor="score", mode="max")
    trainer = quiet(max_epochs=3, limit_train_batches=1, callbacks=[keep])
    trainer.fit(Scored(scores), loader(), loader(), ckpt_path="last")
    assert epoch_of(keep.best_model_path) == 0
    assert keep.best_model_score == pytest.approx(0.9)


def test_two_monitors_keep_their_own_state(tmp_path: Path) -> None:
    def callbacks() -> list[ModelCheckpoint]:
        return [ModelCheckpoint(tmp_path / mode, monitor="score", mode=mode) for mode in ("min", "max")]

    scores = (0.5, 0.9, 0.1, 0.6)
    first, second = callbacks(), callbacks()
    fit(first[0], scores, callbacks=first, max_epochs=3)
    quiet(max_epochs=4, limit_train_batches=1, callbacks=second).fit(
        Scored(scores), loader(), loader(), ckpt_path=tmp_path / "max" / "last.ckpt"
    )
    assert [keep.best_model_score for keep in second] == pytest.approx([0.1, 0.9])


def test_checkpoints_go_below_the_trainers_folder_by_default(tmp_path: Path) -> None:
    fit(ModelCheckpoint(), (1.0,), default_root_dir=tmp_path)
    assert (tmp_path / "checkpoints" / "last.ckpt").is_file()
