"""A fit that goes on from a checkpoint ends in the same bits as one that was never interrupted."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader

import lifecycle as pl
from lifecycle.core.errors import UsageError
from lifecycle.train.callbacks import EMAWeightAveraging, ModelCheckpoint
from lifecycle.train.checkpoint import load_ckpt
from tests.train.callbacks.disturbed import Interrupt, Saving, differences
from tests.train.chaos import Augmented, Classifier, Setting
from tests.train.small import Plain, loader, quiet, same, seeded
from tests.train.test_interrupts import Signals

BATCHES = 6


def fit(
    path: Path,
    *callbacks: pl.Callback,
    plateau: bool = False,
    before: int | None = None,
    resume: bool = False,
    workers: int = 0,
    **options: Any,
) -> pl.Trainer:
    """Shuffled and augmented data, dropout, batch normalisation, metrics and schedules: 6 batches an epoch."""
    pl.seed_everything(99 if resume else 7)
    module = Classifier(Setting(name="", plateau=plateau))
    trainer = quiet(
        **{"max_epochs": 2, "callbacks": [Interrupt(before), *callbacks, Saving(path, before)], **options}
    )
    loaders = [
        DataLoader(Augmented(count), 4, shuffle=shuffle, num_workers=workers)
        for count, shuffle in ((22, True), (10, False))
    ]
    trainer.fit(module, *loaders, ckpt_path=path if resume else None)
    return trainer


def position(path: Path) -> tuple[int, int, int]:
    """Epoch, batches of it that are done, and batches whose gradients wait."""
    state: Any = load_ckpt(path)["loops"]
    return tuple(state["lifecycle"]["state"][name] for name in ("epoch", "batch", "pending"))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("before", "options", "at"),
    [
        (1, {}, (0, 1, 0)),
        (8, {"plateau": True, "val_check_interval": 0.5}, (1, 2, 0)),
        (9, {"plateau": True, "val_check_interval": 0.5}, (1, 3, 0)),  # right after a validation
        (6, {}, (1, 0, 0)),
        (1, {"accumulate_grad_batches": 4}, (0, 1, 1)),
        (9, {"accumulate_grad_batches": 4, "gradient_clip_val": 0.1}, (1, 3, 3)),
        (11, {"accumulate_grad_batches": 4}, (1, 5, 1)),  # in the shorter window that ends an epoch
    ],
)
def test_a_fit_goes_on_from_any_batch(
    tmp_path: Path, before: int, options: dict[str, Any], at: tuple[int, int, int]
) -> None:
    whole = fit(tmp_path / "whole.ckpt", **options)
    path = tmp_path / "parts.ckpt"
    with pytest.raises(InterruptedError):
        fit(path, before=before, **options)
    assert position(path) == at
    assert differences(whole, fit(path, resume=True, **options)) == []


@pytest.mark.parametrize(("workers", "later"), [(0, 2), (2, 0)])
def test_a_fit_goes_on_with_another_number_of_workers(tmp_path: Path, workers: int, later: int) -> None:
    options = {"accumulate_grad_batches": 4}
    whole = fit(tmp_path / "whole.ckpt", **options)
    path = tmp_path / "parts.ckpt"
    with pytest.raises(InterruptedError):
        fit(path, before=8, workers=workers, **options)
    assert position(path) == (1, 2, 2)
    assert differences(whole, fit(path, resume=True, workers=later, **options)) == []


def test_a_validation_that_was_interrupted_is_begun_again(tmp_path: Path) -> None:
    whole = fit(tmp_path / "whole.ckpt", ModelCheckpoint(tmp_path / "whole"))
    path = tmp_path / "parts" / "interrupted.ckpt"
    with pytest.raises(SystemExit):
        fit(path, Signals("validating", signal.SIGTERM), ModelCheckpoint(path.parent))
    assert position(path) == (1, 6, 0)
    resumed = fit(path, ModelCheckpoint(path.parent), resume=True)
    assert [line for line in differences(whole, resumed) if str(tmp_path) not in line] == []


def test_the_comparison_sees_a_difference(tmp_path: Path) -> None:
    whole = fit(tmp_path / "whole.ckpt")
    path = tmp_path / "parts.ckpt"
    with pytest.raises(InterruptedError):
        fit(path, before=8)
    assert differences(whole, fit(path, resume=True, gradient_clip_val=0.01)) != []


def test_a_checkpoint_within_a_window_holds_the_gradients_that_wait(tmp_path: Path) -> None:
    path = tmp_path / "parts.ckpt"
    module = seeded(Plain)
    with pytest.raises(InterruptedError):
        quiet(callbacks=[Interrupt(2), Saving(path, 2)], accumulate_grad_batches=4).fit(module, loader())
    by_hand = seeded(Plain)
    for inputs, targets in list(loader())[:2]:
        (mse_loss(by_hand(inputs), targets) / 4).backward()  # type: ignore[no-untyped-call]
    loops: Any = load_ckpt(path)["loops"]
    expected = {name: parameter.grad for name, parameter in by_hand.named_parameters()}
    assert same(loops["lifecycle"]["gradients"], expected)


def test_data_of_another_length_is_refused_within_an_epoch_only(tmp_path: Path) -> None:
    path = tmp_path / "parts.ckpt"
    with pytest.raises(InterruptedError):
        quiet(callbacks=[Interrupt(2), Saving(path, 2)]).fit(seeded(Plain), loader())
    with pytest.raises(UsageError) as caught:
        quiet().fit(seeded(Plain), loader(batch_size=8), ckpt_path=path)
    assert str(caught.value) == (
        "the checkpoint was made after 2 batches of an epoch of 6 batches (22 samples), and the train data has "
        "3 batches (22 samples) now: an epoch cannot be finished on other data\n"
        "Go on with the same data and batch size, or from a checkpoint made at an epoch's end."
    )
    quiet(callbacks=[Saving(path)]).fit(seeded(Plain), loader())
    trainer = quiet(max_epochs=2)
    trainer.fit(seeded(Plain), loader(batch_size=8), ckpt_path=path)
    assert trainer.global_step == 6 + 3


def test_last_is_the_newest_of_an_earlier_run(tmp_path: Path) -> None:
    options: dict[str, Any] = {"logger": True, "enable_checkpointing": True, "default_root_dir": tmp_path}
    quiet(**options).fit(seeded(Plain), loader())
    saved = tmp_path / "lightning_logs" / "version_0" / "checkpoints" / "epoch=0-step=6.ckpt"
    assert saved.is_file()
    trainer = quiet(**options, max_epochs=3)
    with pytest.warns(UserWarning, match="version_1/checkpoints': it ranks anew, and leaves the files there"):
        trainer.fit(seeded(Plain), loader(), ckpt_path="last")
    assert trainer.ckpt_path == str(saved)
    assert (trainer.current_epoch, trainer.global_step) == (3, 18)
    assert trainer.log_dir == str(tmp_path / "lightning_logs" / "version_1")


class Ends(pl.Callback):
    """Counts what is trained on, and may be killed when all of it is done."""

    def __init__(self, *, killed: bool = False) -> None:
        self.killed = killed
        self.told: list[str] = []

    def on_train_batch_end(self, *_: object) -> None:
        self.told.append("batch")

    def on_train_end(self, *_: object) -> None:
        self.told.append("end")
        if self.killed:
            raise InterruptedError


def test_what_comes_after_the_last_checkpoint_is_made_up_for(tmp_path: Path) -> None:
    whole = fit(tmp_path / "whole.ckpt", EMAWeightAveraging(decay=0.5), max_epochs=1)
    path, ends = tmp_path / "parts.ckpt", Ends()
    with pytest.raises(InterruptedError):
        fit(path, Ends(killed=True), EMAWeightAveraging(decay=0.5), max_epochs=1)
    parts = fit(path, ends, EMAWeightAveraging(decay=0.5), resume=True, max_epochs=1)
    assert ends.told == ["end"]
    assert (parts.current_epoch, parts.global_step) == (1, BATCHES)
    plain = fit(tmp_path / "plain.ckpt", max_epochs=1)
    averaged, resumed, trained = (trainer.lightning_module for trainer in (whole, parts, plain))
    assert averaged is not None and resumed is not None and trained is not None
    assert same(resumed.state_dict(), averaged.state_dict())
    assert not same(trained.state_dict(), averaged.state_dict())
