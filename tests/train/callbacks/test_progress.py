from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle.callbacks import ModelCheckpoint, ProgressBar
from tests.train.small import Plain, loader, quiet


class Shown:
    """Keeps what it is to show."""

    def __init__(self) -> None:
        self.updates: list[tuple[str, int, int]] = []
        self.closed = 0

    def update(self, text: str, done: int, total: int) -> None:
        self.updates.append((text, done, total))

    def note(self, text: str) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self.closed += 1


class Barred(Plain):
    def validation_step(self, batch: object, batch_idx: int) -> None:
        self.log("val_acc", 0.98764, prog_bar=True)
        self.log("hidden", 1.0)


def test_every_epoch_ends_with_its_count_and_what_was_logged_for_the_bar() -> None:
    shown = Shown()
    quiet(max_epochs=3, callbacks=ProgressBar(shown, "train  ")).fit(Barred(), loader(), loader())
    ends = [update for update in shown.updates if update[1] % 6 == 0]
    assert ends == [(f"train  epoch {epoch}/3  val_acc 0.9876", 6 * epoch, 18) for epoch in (1, 2, 3)]
    assert [update[1] for update in shown.updates] == sorted(update[1] for update in shown.updates)


def test_it_is_redrawn_by_the_clock_and_not_by_the_step() -> None:
    shown = Shown()
    quiet(max_epochs=10, callbacks=ProgressBar(shown)).fit(Plain(), loader(batch_size=1))
    assert len(shown.updates) < 110  # of 220 steps


def test_a_resumed_fit_counts_the_epochs_before(tmp_path: Path) -> None:
    for epochs in (2, 3):
        shown = Shown()
        callbacks = [ProgressBar(shown), ModelCheckpoint(tmp_path)]
        quiet(max_epochs=epochs, callbacks=callbacks).fit(Plain(), loader(), ckpt_path="last")
    assert shown.updates[-1] == ("epoch 3/3", 18, 18)
    assert shown.updates[0][1] > 12


def test_a_loader_without_a_length_is_counted_as_it_goes() -> None:
    shown = Shown()
    quiet(max_epochs=1, callbacks=ProgressBar(shown)).fit(Plain(), (batch for batch in loader()))
    assert shown.updates[-1] == ("epoch 1/1", 6, 6)


def test_what_shows_it_is_closed_by_whoever_made_it() -> None:
    shown = Shown()
    quiet(callbacks=ProgressBar(shown)).fit(Plain(), loader())
    assert shown.closed == 0

    class Broken(Plain):
        def training_step(self, batch: object, batch_idx: int) -> None:  # type: ignore[override]
            raise RuntimeError

    with pytest.raises(RuntimeError):
        quiet(callbacks=ProgressBar(shown)).fit(Broken(), loader())
    assert shown.closed == 1
