from __future__ import annotations

import cProfile
import math
import pstats
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

import lifecycle as pl
from lifecycle.callbacks import ModelCheckpoint, ProgressBar
from lifecycle.train.callbacks.progress import number_text
from tests.train.callbacks.terminal import Clock, showing
from tests.train.small import Plain, loader


class Shown:
    """Keeps what it is to show."""

    def __init__(self) -> None:
        self.updates: list[tuple[str, int, int]] = []
        self.notes: list[str] = []
        self.closed = 0

    def update(self, text: str, done: int, total: int) -> None:
        self.updates.append((text, done, total))

    def note(self, text: str) -> None:
        self.notes.append(text)

    def close(self) -> None:
        self.closed += 1


class Validated(Plain):
    def validation_step(self, batch: object, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.log("val_acc", 0.98764, prog_bar=True)
        self.log("hidden", 1.0)

    test_step = validation_step


class Barred(Validated):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.log("at", float(batch_idx), prog_bar=True)
        return super().training_step(batch, batch_idx)


class Drawing(ProgressBar):
    """Keeps what it is to draw."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn: list[tuple[str, str, int, int | None, dict[str, object]]] = []
        self.ended: list[str] = []
        self.stopped = 0

    def draw(
        self, kind: str, description: str, done: int, total: int | None, metrics: Mapping[str, object]
    ) -> None:
        self.drawn.append((kind, description, done, total, dict(metrics)))

    def end(self, kind: str) -> None:
        self.ended.append(kind)

    def stop(self) -> None:
        self.stopped += 1

    def counts(self, kind: str) -> list[tuple[str, int, int | None]]:
        return [(what, done, total) for each, what, done, total, _ in self.drawn if each == kind]


# A whole fit in a progress that is given


def test_every_epoch_ends_with_its_count_and_what_was_logged_for_the_bar() -> None:
    shown = Shown()
    showing(max_epochs=3, callbacks=ProgressBar(shown, "train  ")).fit(Validated(), loader(), loader())
    ends = [update for update in shown.updates if update[1] % 6 == 0]
    assert ends == [(f"train  epoch {n}/3  val_acc 0.9876", 6 * n, 18) for n in (1, 2, 3)]
    assert [update[1] for update in shown.updates] == sorted(update[1] for update in shown.updates)


def test_it_is_redrawn_by_the_clock_and_not_by_the_step(standing: Clock) -> None:
    shown = Shown()
    showing(max_epochs=10, callbacks=ProgressBar(shown)).fit(Plain(), loader(batch_size=1))
    assert len(shown.updates) == 10  # of 220 steps
    shown, standing.step = Shown(), 0.05
    showing(max_epochs=1, callbacks=ProgressBar(shown)).fit(Plain(), loader(batch_size=1))
    assert 22 / 3 <= len(shown.updates) <= 22 / 2 + 1


def test_a_resumed_fit_counts_the_epochs_before(tmp_path: Path, ticking: Clock) -> None:
    for epochs in (2, 3):
        shown = Shown()
        callbacks = [ProgressBar(shown), ModelCheckpoint(tmp_path, save_last=True)]
        path = "last" if epochs == 3 else None
        showing(max_epochs=epochs, callbacks=callbacks).fit(Plain(), loader(), ckpt_path=path)
    assert [update[1:] for update in shown.updates] == [(done, 18) for done in range(12, 19)]


def test_a_loader_without_a_length_is_counted_as_it_goes() -> None:
    shown = Shown()
    showing(max_epochs=1, callbacks=ProgressBar(shown)).fit(Plain(), (batch for batch in loader()))
    assert shown.updates[-1] == ("epoch 1/1", 6, 6)


def test_what_shows_it_is_closed_by_whoever_made_it() -> None:
    shown = Shown()
    showing(callbacks=ProgressBar(shown)).fit(Plain(), loader())
    assert shown.closed == 0

    class Broken(Plain):
        def training_step(self, batch: object, batch_idx: int) -> None:  # type: ignore[override]
            raise RuntimeError

    with pytest.raises(RuntimeError):
        showing(callbacks=ProgressBar(shown)).fit(Broken(), loader())
    assert shown.closed == 1


def test_what_is_printed_goes_above_it(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Shown()
    ProgressBar(shown).print("a", 1, sep="-")
    ProgressBar().print("b", 2, sep="-")
    assert shown.notes == ["a-1"]
    assert capsys.readouterr().out == "b-2\n"


# What a subclass draws


def test_each_stage_has_a_bar_that_counts_its_batches(ticking: Clock) -> None:
    bar = Drawing()
    trainer = showing(max_epochs=2, callbacks=bar, limit_val_batches=2, num_sanity_val_steps=1)
    trainer.fit(Barred(), loader(), [loader(), loader()])
    sanity = [(f"Sanity Checking DataLoader {n}", done, 1) for n, done in ((0, 0), (0, 1), (1, 1))]
    assert bar.counts("sanity_check") == sanity
    epochs = [(f"Epoch {epoch}", done, 6) for epoch in (0, 1) for done in range(7)]
    assert bar.counts("train") == epochs
    once = [(f"Validation DataLoader {n}", done, 2) for n, done in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2))]
    assert bar.counts("validation") == 2 * once
    assert bar.ended == ["sanity_check", "validation", "validation", "train"]
    assert bar.stopped == 1


@pytest.mark.parametrize(
    ("verb", "kind", "description"),
    [
        ("validate", "validation", "Validation"),
        ("test", "test", "Testing"),
        ("predict", "predict", "Predicting"),
    ],
)
def test_the_other_verbs_have_a_bar_too(standing: Clock, verb: str, kind: str, description: str) -> None:
    class Predicting(Barred):
        def predict_step(self, batch: Any, batch_idx: int) -> Any:
            return self(batch[0])

    bar = Drawing()
    getattr(showing(callbacks=bar), verb)(Predicting(), loader())
    assert bar.counts(kind) == [(description, 0, 6), (description, 6, 6)]
    assert bar.ended == [kind] and bar.stopped == 1


def test_the_end_is_drawn_however_short_the_fit_was(standing: Clock) -> None:
    bar = Drawing()
    showing(max_epochs=3, callbacks=bar, num_sanity_val_steps=0).fit(Barred(), loader(), loader())
    assert bar.counts("train") == [("Epoch 0", 0, 6), ("Epoch 2", 6, 6)]
    assert bar.drawn[-1][-1] == {"at": 5.0, "val_acc": pytest.approx(0.98764)}


def test_metrics_are_those_that_get_metrics_gives(ticking: Clock) -> None:
    class Own(Drawing):
        def get_metrics(self, trainer: pl.Trainer, pl_module: pl.Module) -> dict[str, object]:
            items = super().get_metrics(trainer, pl_module)
            items.pop("at", None)
            return {**items, "own": torch.tensor(0.5), "text": "x"}

    bar = Own()
    showing(callbacks=bar).fit(Barred(), loader())
    assert [metrics for *_, metrics in bar.drawn] == 7 * [{"own": 0.5, "text": "x"}]


class Versioned:
    """Has a version, as experiments have."""

    def __init__(self, version: int | str | None) -> None:
        self.version = version

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        pass


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ([], {}),
        ([3], {"v_num": 3}),
        (["a-long-one"], {"v_num": "-one"}),
        ([None, ""], {}),
        ([1, 1, 2], {"v_num": "1_2"}),
    ],
)
def test_the_version_of_the_experiment_is_shown(versions: list[Any], expected: dict[str, object]) -> None:
    from lifecycle.train.callbacks.progress_surface import standard_metrics

    assert standard_metrics([Versioned(version) for version in versions]) == expected


def test_a_metric_that_takes_the_place_of_our_own_is_warned_of_once(ticking: Clock) -> None:
    class Same(Plain):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("v_num", 9.0, prog_bar=True)
            return super().training_step(batch, batch_idx)

    bar = Drawing()
    trainer = showing(callbacks=bar)
    trainer.loggers = [Versioned(3)]
    with pytest.warns(UserWarning, match="the progress bar shows the v_num that was logged") as warned:
        trainer.fit(Same(), loader())
    assert len(warned) == 1
    assert bar.drawn[-1][-1] == {"v_num": 9.0}


# Lightning's surface


def test_a_bar_written_for_lightning_works() -> None:
    percents: list[float] = []

    class Percent(ProgressBar):
        def __init__(self) -> None:
            super().__init__()
            self.enabled = True

        def disable(self) -> None:
            self.enabled = False

        def on_train_batch_end(
            self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
        ) -> None:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
            percents.append(100 * (batch_idx + 1) / self.total_train_batches)

    bar = Percent()
    trainer = showing(callbacks=bar, limit_train_batches=4)
    trainer.fit(Plain(), loader())
    assert percents == [25, 50, 75, 100]
    assert bar.trainer is trainer and trainer.progress_bar_callback is bar


def test_totals_are_those_of_the_loader_at_work() -> None:
    seen: list[tuple[str, object]] = []

    class Asking(ProgressBar):
        def on_validation_batch_start(
            self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
        ) -> None:
            if self.has_dataloader_changed(dataloader_idx):
                key = f"{'sanity' if trainer.sanity_checking else 'val'} {dataloader_idx}"
                seen.append((key, self.total_val_batches_current_dataloader))

        def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
            super().on_train_epoch_start(trainer, pl_module)
            seen.append((f"epoch {trainer.current_epoch}", self.total_val_batches))

    trainer = showing(max_epochs=2, callbacks=Asking(), check_val_every_n_epoch=2, num_sanity_val_steps=1)
    trainer.fit(Barred(), loader(), [loader(), loader(batch_size=11)])
    checked = [("sanity 0", 1), ("sanity 1", 1)]
    assert seen == [*checked, ("epoch 0", 0), ("epoch 1", 8), ("val 0", 6), ("val 1", 2)]


def test_the_steps_that_are_left_bound_an_epoch_without_end() -> None:
    totals: list[int | float] = []

    class Asking(ProgressBar):
        def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
            totals.append(self.total_train_batches)

    showing(max_epochs=-1, max_steps=8, callbacks=Asking()).fit(Plain(), loader())
    assert totals == [6, 2]


def test_a_bar_that_belongs_to_no_trainer_says_so() -> None:
    with pytest.raises(TypeError, match="ProgressBar belongs to no trainer before its setup"):
        _ = ProgressBar().trainer


def test_a_bar_can_be_switched_off_and_on(ticking: Clock) -> None:
    bar = Drawing()
    bar.disable()
    assert bar.is_disabled
    showing(callbacks=bar).fit(Barred(), loader(), loader())
    assert bar.drawn == []
    bar.enable()
    assert bar.is_enabled
    showing(callbacks=bar).fit(Barred(), loader(), loader())
    assert bar.drawn


# Cost


def test_a_step_that_draws_nothing_costs_hardly_any_calls() -> None:
    bar = Drawing()
    trainer = showing(callbacks=bar)
    module = Plain()
    trainer.fit(module, loader())
    bar._next = math.inf
    profile = cProfile.Profile()
    profile.enable()
    bar.on_train_batch_end(trainer, module, {}, None, 3)
    profile.disable()
    # The hook and the clock; the profiler's own end counts as one.
    assert pstats.Stats(profile).total_calls <= 3  # type: ignore[attr-defined]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_redrawing_does_not_wait_for_a_gpu(ticking: Clock) -> None:
    class Checked(Drawing):
        def on_train_batch_end(self, *arguments: Any) -> None:
            torch.cuda.set_sync_debug_mode("error")
            try:
                super().on_train_batch_end(*arguments)
            finally:
                torch.cuda.set_sync_debug_mode("default")

    bar = Checked()
    showing(callbacks=bar, accelerator="gpu").fit(Barred(), loader())
    assert bar.drawn[-1][-1]["at"] == 5.0


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.5000"), (12.345, "12.35"), (1234.0, "1234."), (1e-7, "1.000e-07"), (3, "3"), ("x1", "x1")],
)
def test_numbers_keep_their_width(value: float | str, text: str) -> None:
    assert number_text(value) == text
