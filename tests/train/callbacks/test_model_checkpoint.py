from __future__ import annotations

import logging
import math
import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MeanMetric

import lifecycle as pl
from lifecycle.callbacks import Checkpoint, ModelCheckpoint
from lifecycle.core.errors import UsageError
from lifecycle.train.checkpoint import load_ckpt
from tests.train.small import quiet, same

BATCHES = 8  # of an epoch
SCORES = (0.9, 0.5, 0.7, 0.3, 0.8, 0.2, 0.6, 0.1, 0.4, 0.15, 0.55, 0.05)


def score_at(step: int) -> float:
    """What the weights of a step score: so that anybody can tell whether a file has its own score."""
    return SCORES[step % len(SCORES)]


class Scored(pl.Module):
    """Eight steps an epoch; each state scores what `score_at` says, or what is given for its epoch."""

    def __init__(self, scores: tuple[float, ...] | None = None) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.scores = scores

    def training_step(self, batch: object, batch_idx: int) -> Tensor:
        loss = (self.weight - 1).pow(2).sum()
        self.log("loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: object, batch_idx: int) -> None:
        score = score_at(self.global_step) if self.scores is None else self.scores[self.current_epoch]
        self.log("val", score)
        self.log("group/val", score)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def data(count: int = BATCHES) -> DataLoader[Any]:
    return DataLoader(TensorDataset(torch.zeros(count, 1)), 1)


def fit(
    *callbacks: pl.Callback,
    module: pl.Module | None = None,
    validates: bool = True,
    ckpt_path: str | Path | None = None,
    **options: Any,
) -> pl.Trainer:
    options = {
        "max_epochs": 3,
        "num_sanity_val_steps": 0,
        "logger": False,
        "enable_model_summary": False,
        **options,
    }
    trainer = quiet(**options, callbacks=list(callbacks))
    torch.manual_seed(7)
    trainer.fit(module or Scored(), data(), data(1) if validates else None, ckpt_path=ckpt_path)
    return trainer


def files(folder: Path) -> dict[str, int]:
    """The checkpoints below a folder, with the steps at which they were made."""
    return {
        str(path.relative_to(folder)): int(str(load_ckpt(path)["global_step"]))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def step_of(path: str | Path) -> int:
    return int(str(load_ckpt(Path(path))["global_step"]))


# What is kept


def test_by_default_the_newest_epoch_alone_is_kept(tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path)
    fit(keep)
    assert files(tmp_path) == {"epoch=2-step=24.ckpt": 24}
    assert keep.best_model_path == str(tmp_path / "epoch=2-step=24.ckpt")
    assert (keep.best_model_score, keep.best_k_models, keep.last_model_path) == (None, {}, "")


EPOCHS = {"epoch=0-step=8.ckpt": 8, "epoch=1-step=16.ckpt": 16, "epoch=2-step=24.ckpt": 24}


@pytest.mark.parametrize(
    ("options", "trainer", "expected", "best"),
    [
        # As PyTorch Lightning 2.6.6 leaves them; of epochs the scores are 0.4, 0.8, 0.9.
        ({"save_top_k": -1}, {}, EPOCHS, 24),
        ({"every_n_epochs": 2}, {}, {"epoch=1-step=16.ckpt": 16}, 16),
        ({"every_n_epochs": 2, "save_top_k": -1}, {"max_epochs": 5}, {"epoch=1-step=16.ckpt": 16, "epoch=3-step=32.ckpt": 32}, 32),
        ({"every_n_train_steps": 5}, {}, {"epoch=2-step=20.ckpt": 20}, 20),
        (
            {"every_n_train_steps": 5, "save_top_k": -1},
            {},
            {"epoch=0-step=5.ckpt": 5, "epoch=1-step=10.ckpt": 10, "epoch=1-step=15.ckpt": 15, "epoch=2-step=20.ckpt": 20},
            20,
        ),
        (
            {"every_n_train_steps": 2, "save_top_k": -1},
            {"accumulate_grad_batches": 3, "max_epochs": 2},
            {"epoch=0-step=2.ckpt": 2, "epoch=1-step=4.ckpt": 4, "epoch=1-step=6.ckpt": 6},
            6,
        ),
        ({"monitor": "val"}, {}, {"epoch=0-step=8.ckpt": 8}, 8),
        ({"monitor": "val", "mode": "max"}, {}, {"epoch=2-step=24.ckpt": 24}, 24),
        ({"monitor": "val", "save_top_k": 2}, {}, {"epoch=0-step=8.ckpt": 8, "epoch=1-step=16.ckpt": 16}, 8),
        ({"monitor": "val", "save_top_k": -1}, {}, EPOCHS, 8),
        ({"monitor": "val", "save_top_k": 0}, {}, {}, None),
        ({"monitor": "step", "mode": "max"}, {}, {"epoch=2-step=24.ckpt": 24}, 24),
        ({"monitor": "loss_epoch", "save_top_k": 2}, {}, {"epoch=1-step=16.ckpt": 16, "epoch=2-step=24.ckpt": 24}, 24),
        # After 4, 8, 12, … steps: 0.8, 0.4, 0.9, 0.8, 0.4, 0.9.
        ({}, {"val_check_interval": 0.5}, {"epoch=2-step=24.ckpt": 24}, 24),
        ({"monitor": "val"}, {"val_check_interval": 0.5}, {"epoch=0-step=8.ckpt": 8}, 8),
        (
            {"monitor": "val", "save_top_k": 2},
            {"val_check_interval": 0.5},
            {"epoch=0-step=8.ckpt": 8, "epoch=2-step=20.ckpt": 20},
            8,
        ),
        ({"save_on_train_epoch_end": False, "monitor": "val"}, {}, {"epoch=0-step=8.ckpt": 8}, 8),
        ({"save_top_k": -1}, {"check_val_every_n_epoch": 2, "max_epochs": 5}, {"epoch=1-step=16.ckpt": 16, "epoch=3-step=32.ckpt": 32}, 32),
        ({"save_top_k": -1}, {"max_steps": 13}, {"epoch=0-step=8.ckpt": 8, "epoch=1-step=13.ckpt": 13}, 13),
        (
            {"every_n_train_steps": 4, "save_top_k": -1},
            {"max_steps": 12},
            {"epoch=0-step=4.ckpt": 4, "epoch=0-step=8.ckpt": 8, "epoch=1-step=12.ckpt": 12},
            12,
        ),
        ({"save_top_k": -1}, {"val_check_interval": timedelta(0), "max_steps": 2}, {"epoch=0-step=1.ckpt": 1, "epoch=0-step=2.ckpt": 2}, 2),
        (
            {"filename": "x-{val:.2f}-{nope}", "monitor": "val", "save_top_k": 2},
            {},
            {"x-val=0.40-nope=0.ckpt": 8, "x-val=0.80-nope=0.ckpt": 16},
            8,
        ),
        ({"filename": "{group/val:.1f}/{epoch}", "auto_insert_metric_name": False}, {}, {"0.9/2.ckpt": 24}, 24),
        ({"filename": "best", "monitor": "val", "mode": "max", "save_top_k": 2}, {}, {"best-v1.ckpt": 16, "best.ckpt": 24}, 24),
    ],
)  # fmt: skip
def test_files_are_those_that_lightning_keeps(
    tmp_path: Path,
    options: dict[str, Any],
    trainer: dict[str, Any],
    expected: dict[str, int],
    best: int | None,
) -> None:
    keep = ModelCheckpoint(tmp_path, **options)
    fit(keep, **trainer)
    assert files(tmp_path) == expected
    assert (step_of(keep.best_model_path) if keep.best_model_path else None) == best
    if options.get("monitor") == "val" and best is not None:
        assert keep.best_model_score == pytest.approx(score_at(best))
        assert {step_of(path): float(score) for path, score in keep.best_k_models.items()} == pytest.approx(
            {step: score_at(step) for step in expected.values()}
        )


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
def test_the_best_is_the_best(tmp_path: Path, mode: str, scores: tuple[float, ...], best: int) -> None:
    keep = ModelCheckpoint(tmp_path, monitor="val", mode=mode)
    fit(keep, module=Scored(scores))
    assert step_of(keep.best_model_path) == BATCHES * (best + 1)
    assert keep.best_model_score == pytest.approx(scores[best])
    assert len(files(tmp_path)) == 1


def test_of_several_the_worst_gives_way(tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, "{epoch}", monitor="val", mode="max", save_top_k=2)
    fit(keep, module=Scored((0.3, 0.1, 0.2, 0.5)), max_epochs=4)
    assert list(files(tmp_path)) == ["epoch=0.ckpt", "epoch=3.ckpt"]
    assert keep.kth_best_model_path == str(tmp_path / "epoch=0.ckpt")
    assert float(keep.kth_value) == pytest.approx(0.3)
    assert float(keep.current_score or 0) == pytest.approx(0.5)
    assert keep.check_monitor_top_k(keep_trainer(keep), torch.tensor(0.4))
    assert not keep.check_monitor_top_k(keep_trainer(keep), torch.tensor(0.2))
    assert not keep.check_monitor_top_k(keep_trainer(keep))


def keep_trainer(keep: ModelCheckpoint) -> pl.Trainer:
    return quiet(callbacks=keep)


# A score is of its own weights


@pytest.mark.parametrize(
    "when",
    [
        {},
        {"every_n_train_steps": 4},
        {"every_n_train_steps": 5},
        {"train_time_interval": timedelta(0)},
        {"save_on_train_epoch_end": True},
        {"save_on_train_epoch_end": False},
    ],
)
@pytest.mark.parametrize(
    "trainer",
    [
        {},
        {"val_check_interval": 4},
        {"val_check_interval": 3},
        {"check_val_every_n_epoch": 2},
        {"check_val_every_n_epoch": None, "val_check_interval": 5},
        {"accumulate_grad_batches": 3},
    ],
)
def test_a_file_is_ranked_by_the_score_of_its_own_weights(
    tmp_path: Path, when: dict[str, Any], trainer: dict[str, Any]
) -> None:
    """Lightning ranks by an earlier one where it saves before a validation, or between two (#20919)."""
    keep = ModelCheckpoint(tmp_path, monitor="val", save_top_k=3, save_last=True, **when)
    fit(keep, **trainer)
    assert keep.best_k_models
    for path, score in keep.best_k_models.items():
        assert float(score) == pytest.approx(score_at(step_of(path)))
    assert keep.best_model_score == min(keep.best_k_models.values())


def test_in_the_midst_of_epochs_losses_of_steps_are_compared_with_their_like(tmp_path: Path) -> None:
    """The loss before step n is 0.98 ** (2 * (n - 1)); step 8 ends the epoch, whose mean is another."""
    for options in ({"every_n_train_steps": 4}, {"save_on_train_epoch_end": False}):
        keep = ModelCheckpoint(tmp_path, monitor="loss", save_top_k=3, **options)
        fit(keep, max_epochs=1, val_check_interval=4)
        assert {step_of(path): float(score) for path, score in keep.best_k_models.items()} == pytest.approx(
            {4: 0.98**6, 8: 0.98**14}
        )
    keep = ModelCheckpoint(tmp_path, monitor="loss")
    fit(keep, max_epochs=1)
    assert keep.best_model_score == pytest.approx(sum(0.98 ** (2 * step) for step in range(8)) / 8)


def test_a_metric_that_is_computed_whenever_somebody_looks_is_measured_once_an_epoch(tmp_path: Path) -> None:
    class Computing(Scored):
        def __init__(self) -> None:
            super().__init__()
            self.mean = MeanMetric()

        def training_step(self, batch: object, batch_idx: int) -> Tensor:
            loss = super().training_step(batch, batch_idx)
            self.mean.update(loss.detach())
            self.log("mean", self.mean, on_step=False, on_epoch=True)
            return loss

    keep = ModelCheckpoint(tmp_path, monitor="mean", save_top_k=9, every_n_train_steps=3)
    fit(keep, module=Computing(), max_epochs=2)
    assert files(tmp_path) == {"epoch=0-step=8.ckpt": 8, "epoch=1-step=16.ckpt": 16}


def test_a_save_that_is_due_between_validations_waits_for_the_next(tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, monitor="val", every_n_train_steps=5, save_top_k=3)
    fit(keep, val_check_interval=4, max_epochs=1)
    assert files(tmp_path) == {"epoch=0-step=8.ckpt": 8}


def test_where_all_are_kept_only_the_first_waits(tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, monitor="val", every_n_train_steps=3, save_top_k=-1)
    fit(keep, val_check_interval=4, max_epochs=1)
    assert files(tmp_path) == {"epoch=0-step=4.ckpt": 4, "epoch=0-step=6.ckpt": 6}
    assert [float(score) for score in keep.best_k_models.values()] == pytest.approx([score_at(4)] * 2)
    assert step_of(keep.best_model_path) == 4


def test_a_metric_of_the_epoch_is_waited_for_until_it_ends(tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, monitor="loss_epoch", save_top_k=2)
    fit(keep, val_check_interval=4, max_epochs=2)
    assert files(tmp_path) == {"epoch=0-step=8.ckpt": 8, "epoch=1-step=16.ckpt": 16}


def test_the_score_is_of_the_epoch_at_hand_even_when_others_log_it_at_its_end(tmp_path: Path) -> None:
    class Late(pl.Callback):
        def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.Module) -> None:
            pl_module.log("late", float(trainer.current_epoch))

    keep = ModelCheckpoint(tmp_path, monitor="late", mode="max")
    fit(keep, Late())
    assert (step_of(keep.best_model_path), float(keep.best_model_score or 0)) == (24, 2.0)


def test_a_fit_that_ends_before_the_metric_was_measured_again_still_leaves_a_file(tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, monitor="val", every_n_epochs=2)
    fit(keep, max_steps=13)
    assert files(tmp_path) == {"epoch=1-step=13.ckpt": 13}
    other = tmp_path / "other"
    fit(ModelCheckpoint(other, monitor="val", every_n_train_steps=20), check_val_every_n_epoch=2)
    assert list(files(other).values()) == [24]


# last.ckpt


@pytest.mark.parametrize(
    ("options", "trainer", "step"),
    [
        ({}, {}, 24),
        ({"monitor": "val"}, {}, 24),  # the best is of step 8
        ({"every_n_epochs": 2}, {}, 24),
        ({"every_n_epochs": 7}, {}, 24),
        ({"save_top_k": 0}, {}, 24),
        ({"every_n_train_steps": 5}, {}, 24),
        ({"every_n_train_steps": 5, "monitor": "val"}, {"max_steps": 15}, 15),
        ({"monitor": "val"}, {"val_check_interval": 3}, 24),  # the last validation is of step 22
        ({"monitor": "val"}, {"check_val_every_n_epoch": 2}, 24),
        ({"monitor": "val", "every_n_train_steps": 10}, {"max_steps": 13}, 13),
    ],
)
def test_last_is_the_end_of_the_fit_whether_it_is_among_the_best_or_not(
    tmp_path: Path, options: dict[str, Any], trainer: dict[str, Any], step: int
) -> None:
    keep = ModelCheckpoint(tmp_path, save_last=True, **options)
    fit(keep, **trainer)
    assert keep.last_model_path == str(tmp_path / "last.ckpt")
    assert step_of(keep.last_model_path) == step
    assert not (tmp_path / "last.ckpt").is_symlink()
    assert len(files(tmp_path)) == (1 if keep.best_model_path == "" else 2)


@pytest.mark.parametrize(
    ("options", "trainer", "step"),
    [
        ({"monitor": "val"}, {}, 16),
        ({"every_n_train_steps": 5, "monitor": "val"}, {}, 20),
        ({"monitor": "val"}, {"val_check_interval": 3}, 19),
        ({"monitor": "val"}, {"check_val_every_n_epoch": 2}, 16),
    ],
)
def test_last_is_the_newest_epoch_validation_or_step(
    tmp_path: Path, options: dict[str, Any], trainer: dict[str, Any], step: int
) -> None:
    with pytest.raises(InterruptedError):
        fit(ModelCheckpoint(tmp_path, save_last=True, **options), Stopping(21), **trainer)
    assert step_of(tmp_path / "last.ckpt") == step


def test_a_fit_that_a_limit_ends_goes_on_within_the_epoch(tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, save_last=True, monitor="val")
    fit(keep, max_steps=13, val_check_interval=3)
    trainer = fit(ModelCheckpoint(tmp_path, save_last=True, monitor="val"), max_epochs=2, ckpt_path="last")
    assert trainer.global_step == 16


def test_last_as_a_link_leads_to_the_newest_file(tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, save_last="link", monitor="val", mode="max")
    fit(keep, module=Scored((0.1, 0.3, 0.2)))
    link = tmp_path / "last.ckpt"
    assert link.readlink() == Path("epoch=1-step=16.ckpt")
    assert keep.last_model_path == str(link)
    assert list(files(tmp_path)) == ["epoch=1-step=16.ckpt", "last.ckpt"]


def test_without_other_files_the_link_is_a_file(tmp_path: Path) -> None:
    fit(ModelCheckpoint(tmp_path, save_last="link", save_top_k=0))
    assert files(tmp_path) == {"last.ckpt": 24}
    assert not (tmp_path / "last.ckpt").is_symlink()


def test_last_may_have_a_template_and_then_replaces_the_one_before(tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, save_last=True, save_top_k=0)
    keep.CHECKPOINT_NAME_LAST = "{epoch}-last"
    fit(keep)
    assert files(tmp_path) == {"epoch=2-last.ckpt": 24}


def test_best_and_last_of_the_same_step_have_the_same_bytes(tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, "best", monitor="val", mode="max", save_last=True)
    fit(keep, module=Scored((0.1, 0.2, 0.3)))
    assert (tmp_path / "best.ckpt").read_bytes() == (tmp_path / "last.ckpt").read_bytes()
    state = load_ckpt(tmp_path / "last.ckpt")["callbacks"][keep.state_key]  # type: ignore[index]
    assert state["best_model_path"] == str(tmp_path / "best.ckpt")
    assert state["last_model_path"] == str(tmp_path / "last.ckpt")


# Names


def test_a_name_that_a_file_bears_gets_a_version(tmp_path: Path) -> None:
    for _ in range(3):
        fit(ModelCheckpoint(tmp_path, "{epoch}", save_last=True), max_epochs=1)
    expected = [
        "epoch=0-v1.ckpt",
        "epoch=0-v2.ckpt",
        "epoch=0.ckpt",
        "last-v1.ckpt",
        "last-v2.ckpt",
        "last.ckpt",
    ]
    assert list(files(tmp_path)) == expected


def test_without_versions_it_is_replaced(tmp_path: Path) -> None:
    for _ in range(2):
        fit(ModelCheckpoint(tmp_path, "best", save_last=True, enable_version_counter=False), max_epochs=1)
    assert list(files(tmp_path)) == ["best.ckpt", "last.ckpt"]


def test_epoch_and_step_may_be_logged_by_others(tmp_path: Path) -> None:
    class Counting(pl.Callback):
        def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.Module) -> None:
            pl_module.log("step", 1000.0 * (trainer.current_epoch + 1))

    fit(ModelCheckpoint(tmp_path), Counting())
    assert files(tmp_path) == {"epoch=2-step=3000.ckpt": 24}


def test_a_name_that_is_still_being_written_counts(tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, "{epoch}", every_n_train_steps=2, save_top_k=-1)
    other = ModelCheckpoint(tmp_path, "{epoch}", every_n_train_steps=4, save_top_k=-1)
    fit(keep, other, max_epochs=1)
    assert files(tmp_path) == {
        "epoch=0.ckpt": 2,
        "epoch=0-v1.ckpt": 4,
        "epoch=0-v2.ckpt": 4,
        "epoch=0-v3.ckpt": 6,
        "epoch=0-v4.ckpt": 8,
        "epoch=0-v5.ckpt": 8,
    }


# What a resumed fit goes on with


def test_a_resumed_fit_goes_on_comparing_with_the_best_so_far(tmp_path: Path) -> None:
    options: dict[str, Any] = {"monitor": "val", "mode": "max", "save_last": True}
    fit(ModelCheckpoint(tmp_path, **options), module=Scored((0.9, 0.5, 0.8)), max_epochs=2)
    keep = ModelCheckpoint(tmp_path, **options)
    fit(keep, module=Scored((0.9, 0.5, 0.8)), ckpt_path="last")
    assert files(tmp_path) == {"epoch=0-step=8.ckpt": 8, "last.ckpt": 24}
    assert float(keep.best_model_score or 0) == pytest.approx(0.9)


class Stopping(pl.Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: pl.Trainer, *given: object) -> None:
        if trainer.global_step == self.step:
            raise InterruptedError


@pytest.mark.parametrize("stopped_at", [6, 9, 16, 23])
@pytest.mark.parametrize(
    ("options", "trainer"),
    [
        ({"filename": "best", "monitor": "val", "mode": "max", "enable_version_counter": False}, {}),
        ({"monitor": "val", "mode": "max", "save_top_k": 2}, {"val_check_interval": 4}),
        ({"monitor": "val", "every_n_train_steps": 5, "save_top_k": 5}, {"val_check_interval": 4}),
        ({}, {}),
    ],
)
def test_a_fit_that_is_stopped_and_resumed_leaves_what_the_undisturbed_one_does(
    tmp_path: Path, stopped_at: int, options: dict[str, Any], trainer: dict[str, Any]
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    fit(ModelCheckpoint(whole, save_last=True, **options), **trainer)
    with pytest.raises(InterruptedError):
        fit(ModelCheckpoint(parts, save_last=True, **options), Stopping(stopped_at), **trainer)
    resumed = ModelCheckpoint(parts, save_last=True, **options)
    fit(resumed, ckpt_path="last", **trainer)
    assert files(parts) == files(whole)
    for name in files(parts):
        first, second = load_ckpt(whole / name), load_ckpt(parts / name)
        for content, folder in ((first, whole), (second, parts)):
            content["callbacks"] = without_folder(content["callbacks"], folder)
        assert same(first, second)


def test_what_a_checkpoint_brings_back_was_measured_before(tmp_path: Path) -> None:
    """In step 6 a save is due, and what is known of the metric is of step 4."""
    options: dict[str, Any] = {"monitor": "val", "every_n_train_steps": 3, "save_top_k": 5, "save_last": True}
    with pytest.raises(InterruptedError):
        fit(ModelCheckpoint(tmp_path, **options), Stopping(5), val_check_interval=4)
    assert step_of(tmp_path / "last.ckpt") == 4
    fit(ModelCheckpoint(tmp_path, **options), val_check_interval=4, max_epochs=1, ckpt_path="last")
    assert files(tmp_path) == {"epoch=0-step=4.ckpt": 4, "epoch=0-step=8.ckpt": 8, "last.ckpt": 8}


def without_folder(value: object, folder: Path) -> object:
    if isinstance(value, dict):
        return {without_folder(key, folder): without_folder(item, folder) for key, item in value.items()}
    return value.replace(str(folder), "") if isinstance(value, str) else value


def test_a_folder_may_be_moved_between_two_parts_of_a_fit(tmp_path: Path) -> None:
    options: dict[str, Any] = {"monitor": "val", "mode": "max", "save_last": True, "filename": "best"}
    scores = (0.9, 0.5, 0.8)
    fit(ModelCheckpoint(tmp_path / "before", **options), module=Scored(scores), max_epochs=2)
    (tmp_path / "before").rename(tmp_path / "after")
    keep = ModelCheckpoint(tmp_path / "after", **options)
    fit(keep, module=Scored(scores), ckpt_path=tmp_path / "after" / "last.ckpt")
    assert keep.best_model_path == str(tmp_path / "after" / "best.ckpt")
    assert files(tmp_path) == {"after/best.ckpt": 8, "after/last.ckpt": 24}


def test_in_another_folder_it_ranks_anew_and_leaves_the_files_of_the_first_alone(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    fit(ModelCheckpoint(first, monitor="val", mode="max"), module=Scored((0.9, 0.5, 0.8)), max_epochs=2)
    keep = ModelCheckpoint(second, monitor="val", mode="max")
    with pytest.warns(
        UserWarning, match=r"ModelCheckpoint saved to '.*/first', this one saves to '.*/second'"
    ):
        fit(keep, module=Scored((0.9, 0.5, 0.8)), ckpt_path=first / "epoch=0-step=8.ckpt")
    assert files(first) == {"epoch=0-step=8.ckpt": 8}
    assert files(second) == {"epoch=2-step=24.ckpt": 24}


def test_in_another_folder_the_newest_does_not_replace_that_of_the_first(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    fit(ModelCheckpoint(first, save_last=True), max_epochs=1)
    with pytest.warns(UserWarning, match="this one saves to"):
        fit(ModelCheckpoint(second), ckpt_path=first / "last.ckpt")
    assert list(files(first)) == ["epoch=0-step=8.ckpt", "last.ckpt"]


def test_the_file_that_a_fit_was_resumed_from_is_never_deleted(tmp_path: Path) -> None:
    fit(ModelCheckpoint(tmp_path), max_epochs=1)
    fit(ModelCheckpoint(tmp_path), ckpt_path=tmp_path / "epoch=0-step=8.ckpt")
    assert files(tmp_path) == {"epoch=0-step=8.ckpt": 8, "epoch=2-step=24.ckpt": 24}


def test_a_finished_fit_saves_nothing_when_it_is_resumed(tmp_path: Path) -> None:
    options: dict[str, Any] = {"save_last": True, "monitor": "val"}
    fit(ModelCheckpoint(tmp_path, **options))
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    fit(ModelCheckpoint(tmp_path, **options), ckpt_path="last")
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_its_state_is_plain_and_tells_callbacks_apart(tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, monitor="val", every_n_train_steps=4)
    fit(keep)
    assert keep.state_key == (
        "ModelCheckpoint{'monitor': 'val', 'mode': 'min', 'every_n_train_steps': 4, 'every_n_epochs': 0, "
        "'train_time_interval': None}"
    )
    content = torch.load(keep.best_model_path, weights_only=True)
    state = content["callbacks"][keep.state_key]
    assert state["best_model_path"] == keep.best_model_path
    assert same(state["best_model_score"], torch.tensor(score_at(8)))
    assert state["dirpath"] == str(tmp_path)


def test_two_of_them_keep_their_own_state(tmp_path: Path) -> None:
    def callbacks() -> list[ModelCheckpoint]:
        return [
            ModelCheckpoint(tmp_path / mode, monitor="val", mode=mode, save_last=True)
            for mode in ("min", "max")
        ]

    scores = (0.5, 0.9, 0.1, 0.6)
    fit(*callbacks(), module=Scored(scores))
    second = callbacks()
    fit(*second, module=Scored(scores), max_epochs=4, ckpt_path=tmp_path / "max" / "last.ckpt")
    assert [float(keep.best_model_score or 0) for keep in second] == pytest.approx([0.1, 0.9])


# Metrics that are not there


def test_a_monitor_that_nobody_logs_is_an_error_that_names_what_is_logged(tmp_path: Path) -> None:
    expected = (
        r"^ModelCheckpoint monitors 'vall', which nobody logged: did you mean 'val'\? Allowed: group/val, "
    )
    for options in ({}, {"every_n_train_steps": 3}, {"save_on_train_epoch_end": False}):
        with pytest.raises(UsageError, match=expected):
            fit(ModelCheckpoint(tmp_path, monitor="vall", **options), max_epochs=2)


def test_a_fit_without_validation_is_warned_that_nothing_is_saved(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="ModelCheckpoint") as told:
        trainer = fit(ModelCheckpoint(tmp_path, monitor="val"), validates=False, max_epochs=3)
    messages = [str(warning.message) for warning in told]
    assert len(messages) == 2
    assert messages[0].startswith("ModelCheckpoint monitors 'val', which nobody logged: allowed: loss")
    assert messages[0].endswith("Nothing validates in this fit, and nothing is saved")
    assert "found no best" in messages[1]
    assert trainer.current_epoch == 3
    assert list(tmp_path.iterdir()) == []


def test_epochs_without_validation_wait_for_the_next(tmp_path: Path) -> None:
    for options in list[dict[str, Any]]([{}, {"save_on_train_epoch_end": True}]):
        keep = ModelCheckpoint(tmp_path / str(len(options)), monitor="val", mode="max", **options)
        fit(keep, module=Scored((9.0, 0.5, 9.0, 0.7, 9.0)), check_val_every_n_epoch=2, max_epochs=5)
        assert step_of(keep.best_model_path) == 32
        assert keep.best_model_score == pytest.approx(0.7)


def test_a_fit_that_ends_before_the_first_validation_says_that_there_is_no_best(tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, monitor="val", every_n_train_steps=3)
    with pytest.warns(UserWarning, match="found no best: 'val', which it monitors, was not logged in time"):
        fit(keep, check_val_every_n_epoch=2, max_epochs=1)
    assert files(tmp_path) == {}


def test_without_validation_epochs_are_saved_at_their_end(tmp_path: Path) -> None:
    trainers: list[dict[str, Any]] = [{}, {"check_val_every_n_epoch": 2}, {"val_check_interval": 3}]
    for index, options in enumerate(trainers):
        fit(ModelCheckpoint(tmp_path / str(index)), validates=False, **options)
        assert files(tmp_path / str(index)) == {"epoch=2-step=24.ckpt": 24}


# When something goes wrong


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class FullDisk(pl.Callback):
    """During one epoch nothing can be written; the limit goes when the next begins."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.limit: Any = None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.Module) -> None:
        if trainer.current_epoch == self.epoch:
            trainer.writer.wait()
            self.limit = no_file_larger_than(100)
            self.limit.__enter__()
        elif self.limit is not None:
            trainer.writer.wait()
            self.limit.__exit__(None, None, None)
            self.limit = None


@pytest.mark.parametrize(
    ("options", "scores", "expected"),
    [
        # The best epoch cannot be written: the one before stays the best, until there is a better one.
        ({"monitor": "val"}, (0.5, 0.1, 0.4, 0.6), {"epoch=2-step=24.ckpt": 24}),
        ({"monitor": "val", "save_top_k": 2}, (0.5, 0.1, 0.6, 0.7), {"epoch=0-step=8.ckpt": 8, "epoch=2-step=24.ckpt": 24}),
        ({}, (0.0, 0.0, 0.0, 0.0), {"epoch=3-step=32.ckpt": 32}),
        ({"monitor": "val"}, (0.5, 0.1, 0.6, 0.7), {"epoch=0-step=8.ckpt": 8}),
        ({"monitor": "val", "save_last": "link"}, (0.5, 0.1, 0.6, 0.7), {"epoch=0-step=8.ckpt": 8, "last.ckpt": 8}),
        ({"monitor": "val", "save_last": True}, (0.5, 0.1, 0.6, 0.7), {"epoch=0-step=8.ckpt": 8, "last.ckpt": 32}),
    ],
)  # fmt: skip
def test_a_file_that_could_not_be_written_is_not_ranked(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    options: dict[str, Any],
    scores: tuple[float, ...],
    expected: dict[str, int],
) -> None:
    keep = ModelCheckpoint(tmp_path, **options)
    with pytest.warns(UserWarning, match=r"epoch=1-step=16\.ckpt could not be written: .* File too large"):
        fit(FullDisk(1), keep, module=Scored(scores), max_epochs=4)
    assert files(tmp_path) == expected
    kept = {path for path in expected if not path.startswith("last")}
    assert {Path(path).name for path in keep.best_k_models or [keep.best_model_path]} == kept
    if options:
        assert keep.best_model_score == pytest.approx(scores[step_of(keep.best_model_path) // BATCHES - 1])


def test_an_exception_is_saved_under_a_name_of_its_own(tmp_path: Path) -> None:
    keep = ModelCheckpoint(
        tmp_path, "best", monitor="val", save_on_exception=True, enable_version_counter=False
    )
    with pytest.raises(InterruptedError):
        fit(keep, Stopping(11))
    assert files(tmp_path) == {"best.ckpt": 8, "best-v1.ckpt": 11}
    assert keep.best_model_path == str(tmp_path / "best.ckpt")


def test_what_fails_before_it_is_written_is_not_ranked(tmp_path: Path) -> None:
    class Odd(pl.Callback):
        def on_save_checkpoint(self, trainer: pl.Trainer, *given: object) -> None:
            if trainer.global_step == 16:
                raise InterruptedError

    keep = ModelCheckpoint(tmp_path, monitor="val", mode="max", save_last=True)
    with pytest.raises(InterruptedError):
        fit(keep, Odd(), module=Scored((0.1, 0.2)))
    assert {Path(path).name for path in keep.best_k_models} == {"epoch=0-step=8.ckpt"}
    assert files(tmp_path) == {"epoch=0-step=8.ckpt": 8, "last.ckpt": 8}


def test_without_being_asked_an_exception_saves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InterruptedError):
        fit(ModelCheckpoint(tmp_path, save_last=True), Stopping(11))
    assert files(tmp_path) == {"epoch=0-step=8.ckpt": 8, "last.ckpt": 8}


def test_an_exception_is_not_hidden_by_what_goes_wrong_while_it_is_saved(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Odd(pl.Callback):
        def on_save_checkpoint(self, *given: Any) -> None:
            given[2]["odd"] = threading.Lock()

    with pytest.raises(InterruptedError) as caught:
        fit(ModelCheckpoint(tmp_path, every_n_epochs=9, save_on_exception=True), Stopping(11), Odd())
    assert (
        "could not save: epoch=1-step=11.ckpt cannot be written: cannot pickle" in caught.value.__notes__[0]
    )
    assert files(tmp_path) == {}


def test_what_could_not_be_read_back_ends_the_fit(tmp_path: Path) -> None:
    class Odd(pl.Callback):
        def on_save_checkpoint(self, *given: Any) -> None:
            given[2]["odd"] = timedelta(1)

    for options in ({}, {"save_last": True}, {"every_n_train_steps": 1}):
        with pytest.raises(UsageError, match=r"would hold datetime"):
            fit(ModelCheckpoint(tmp_path, **options), Odd(), max_epochs=1)
    assert files(tmp_path) == {}


# Loggers


class Logger:
    """Notes which files were whole when it was told of them."""

    name, version = "run", "a"

    def __init__(self, folder: Path) -> None:
        self.save_dir = str(folder)
        self.told: list[tuple[str, bool]] = []

    def after_save_checkpoint(self, callback: ModelCheckpoint) -> None:
        path = Path(callback.best_model_path)
        self.told.append((path.name, path.is_file()))

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        pass

    def log_hyperparams(self, *given: object) -> None:
        pass

    def log_graph(self, *given: object) -> None:
        pass

    def save(self) -> None:
        pass

    def finalize(self, status: str) -> None:
        self.told.append((status, True))


def test_loggers_are_told_of_every_file_when_it_is_whole(tmp_path: Path) -> None:
    logger = Logger(tmp_path)
    fit(ModelCheckpoint(tmp_path / "here", save_top_k=-1, save_last=True), logger=logger)
    assert logger.told == [(name, True) for name in (*EPOCHS, "success")]


def test_loggers_are_told_of_what_is_saved_at_the_very_end(tmp_path: Path) -> None:
    logger = Logger(tmp_path)
    fit(ModelCheckpoint(tmp_path / "here", save_last=True), logger=logger, val_check_interval=5, max_epochs=1)
    assert [name for name, _ in logger.told] == ["epoch=0-step=5.ckpt", "epoch=0-step=5.ckpt", "success"]
    assert step_of(tmp_path / "here" / "last.ckpt") == 8


def test_by_default_files_go_to_the_first_loggers_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    keep = ModelCheckpoint()
    fit(keep, logger=[Logger(Path("logs")), Logger(Path("others"))])
    assert files(tmp_path) == {"logs/run/a/checkpoints/epoch=2-step=24.ckpt": 24}
    assert keep.dirpath == str(tmp_path / "logs" / "run" / "a" / "checkpoints")


def test_without_loggers_they_go_below_the_trainers_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(ModelCheckpoint(), default_root_dir=tmp_path)
    assert list(files(tmp_path)) == ["checkpoints/epoch=2-step=24.ckpt"]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    keep = ModelCheckpoint()
    fit(keep)
    monkeypatch.chdir(tmp_path)
    assert step_of(keep.best_model_path) == 24
    assert list(files(tmp_path / "elsewhere")) == ["checkpoints/epoch=2-step=24.ckpt"]


# The rest


def test_verbose_tells_what_is_saved_and_what_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "lifecycle.train.callbacks.model_checkpoint"):
        fit(ModelCheckpoint(tmp_path, monitor="val", verbose=True), max_epochs=2)
        fit(ModelCheckpoint(tmp_path, monitor="val"), max_epochs=2)
    path = tmp_path / "epoch=0-step=8.ckpt"
    found = [r.getMessage() for r in caplog.records if r.name.endswith("model_checkpoint")]
    assert found == [
        f"epoch 0, step 8: val = 0.4, saving {path}; the best is {path}",
        "epoch 1, step 16: val = 0.8 is not among the best 1",
    ]


def test_the_best_are_listed_with_their_scores(tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, monitor="val", save_top_k=2)
    fit(keep)
    keep.to_yaml()
    lines = (tmp_path / "best_k_models.yaml").read_text().splitlines()
    assert [line.partition(": ")[0] for line in lines] == [
        str(tmp_path / name) for name in ("epoch=0-step=8.ckpt", "epoch=1-step=16.ckpt")
    ]
    assert [float(line.partition(": ")[2]) for line in lines] == pytest.approx([0.4, 0.8])


def test_weights_alone_can_be_saved(tmp_path: Path) -> None:
    fit(ModelCheckpoint(tmp_path, save_weights_only=True, save_last=True))
    for content in (load_ckpt(path) for path in tmp_path.iterdir()):
        assert content["optimizer_states"] == []
        assert content["callbacks"] == {}


def test_time_may_decide(tmp_path: Path) -> None:
    fit(ModelCheckpoint(tmp_path, train_time_interval=timedelta(0), save_top_k=-1), max_epochs=1)
    assert list(files(tmp_path).values()) == list(range(1, 9))
    fit(ModelCheckpoint(tmp_path / "b", train_time_interval=timedelta(hours=1), save_top_k=-1))
    assert files(tmp_path / "b") == {}


def test_what_is_not_trained_is_not_saved(tmp_path: Path) -> None:
    class Untrained(Scored):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

    fit(ModelCheckpoint(tmp_path, save_last=True, monitor="val"), module=Untrained())
    assert files(tmp_path) == {}


def test_it_may_serve_in_one_fit_after_another(tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, save_top_k=-1)
    for _ in range(2):
        fit(keep, max_epochs=1)
    assert files(tmp_path) == {"epoch=0-step=8.ckpt": 8, "epoch=0-step=8-v1.ckpt": 8}


def test_nothing_is_saved_of_a_fast_dev_run(tmp_path: Path) -> None:
    fit(ModelCheckpoint(tmp_path, every_n_train_steps=1, save_last=True), fast_dev_run=2)
    assert files(tmp_path) == {}


def test_a_step_in_which_nothing_is_due_costs_next_to_nothing(tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, every_n_train_steps=1000, monitor="val")
    trainer = fit(keep)
    calls = []
    sys.setprofile(lambda frame, event, argument: calls.append(event) if "call" in event else None)
    try:
        keep.save_if_due(trainer, trainer.lightning_module, stepped=True, validated=False, epoch_ended=False)
    finally:
        sys.setprofile(None)
    assert len(calls) <= 5


def test_other_classes_can_save_too(tmp_path: Path) -> None:
    class Every(Checkpoint):
        def save_if_due(self, trainer: pl.Trainer, pl_module: pl.Module, **due: bool) -> None:
            if due["epoch_ended"]:
                trainer.save_checkpoint(tmp_path / f"{trainer.current_epoch}.ckpt")

    trainer = fit(Every())
    assert files(tmp_path) == {"0.ckpt": 8, "1.ckpt": 16, "2.ckpt": 24}
    assert isinstance(trainer.checkpoint_callback, Every)
