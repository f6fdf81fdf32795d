from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import lifecycle as pl
from lifecycle.callbacks import Timer
from lifecycle.core.errors import UsageError
from tests.train.callbacks.disturbed import Saving
from tests.train.small import Plain, loader, quiet


class Clock:
    """Goes on by one second each time a batch begins."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Ticking(Plain):
    clock: Clock

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.clock.now += 1
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.clock.now += 0.5

    test_step = predict_step = validation_step


def ticking(clock: Clock) -> Ticking:
    module = Ticking()
    module.clock = clock
    return module


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    made = Clock()
    monkeypatch.setattr("lifecycle.train.callbacks.timer.time", SimpleNamespace(monotonic=made))
    yield made


def fit(clock: Clock, timer: Timer, **options: Any) -> pl.Trainer:
    trainer = quiet(**{"max_epochs": 3, "callbacks": [timer], **options})
    trainer.fit(ticking(clock), loader())
    return trainer


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        ("00:00:00:15", 15),
        (" 01:02:03:04 ", 93784),
        (timedelta(minutes=2), 120),
        ({"hours": 1, "seconds": 1}, 3601),
    ],
)
def test_durations_of_every_form(duration: Any, seconds: float) -> None:
    assert Timer(duration).time_remaining() == seconds
    assert Timer(duration).time_elapsed() == 0


def test_without_a_duration_it_only_measures(clock: Clock) -> None:
    timer = Timer()
    assert fit(clock, timer).global_step == 18
    assert timer.time_remaining() is None
    assert timer.time_elapsed() == 18


def test_training_ends_when_the_time_is_up(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    timer = Timer("00:00:00:04")
    with caplog.at_level(logging.INFO, "lifecycle"):
        assert fit(clock, timer).global_step == 4
    assert "the fit's time is up after 0:00:04" in caplog.messages
    assert timer.time_remaining() == 0


def test_or_with_its_epoch(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "lifecycle"):
        assert fit(clock, Timer(timedelta(seconds=8), interval="epoch", verbose=False)).global_step == 12
    assert not [line for line in caplog.messages if "time is up" in line]


def test_the_trainer_has_one_of_its_own(clock: Clock) -> None:
    trainer = quiet(max_epochs=3, max_time="00:00:00:05")
    trainer.fit(ticking(clock), loader())
    assert trainer.global_step == 5


def test_every_stage_is_measured(clock: Clock) -> None:
    timer = Timer()
    trainer = quiet(max_epochs=1, callbacks=[timer], num_sanity_val_steps=2)
    module = ticking(clock)
    trainer.fit(module, loader(), loader())
    assert (timer.start_time("sanity_check"), timer.end_time("sanity_check")) == (100.0, 101.0)
    assert (timer.start_time(), timer.end_time()) == (101.0, 110.0)
    assert (timer.start_time("validate"), timer.end_time("validate")) == (107.0, 110.0)
    assert timer.end_time("test") is None
    trainer.test(module, loader())
    trainer.predict(module, loader())
    assert [
        timer.time_elapsed(stage) for stage in ("sanity_check", "train", "validate", "test", "predict")
    ] == [
        1.0,
        9.0,
        3.0,
        3.0,
        3.0,
    ]


def test_time_before_a_resume_counts(clock: Clock, tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    fit(clock, Timer("00:00:00:10"), callbacks=[Timer("00:00:00:10"), Saving(path)], max_epochs=1)
    again = Timer("00:00:00:10")
    trainer = quiet(max_epochs=3, callbacks=[again])
    trainer.fit(ticking(clock), loader(), ckpt_path=path)
    assert trainer.global_step == 10
    assert again.time_elapsed() == 10.0


def test_a_resumed_fit_without_time_left_does_nothing(clock: Clock, tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    fit(clock, Timer(), callbacks=[Timer(), Saving(path)], max_epochs=1)
    trainer = quiet(max_epochs=3, callbacks=[Timer("00:00:00:06")])
    trainer.fit(ticking(clock), loader(), ckpt_path=path)
    assert trainer.global_step == 6


def test_a_second_fit_begins_anew(clock: Clock) -> None:
    timer = Timer("00:00:00:04")
    assert [fit(clock, timer).global_step for _ in range(2)] == [4, 4]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("12:00",),
            r"^Timer\(duration='12:00'\): expected days, hours, minutes and seconds as 'DD:HH:MM:SS'",
        ),
        ((7,), r"^Timer\(duration=7\): allowed: 'DD:HH:MM:SS', a timedelta, or a dictionary"),
        (({"hour": 1},), r"^Timer\(duration=\{'hour': 1\}\): .*hour"),
        ((None, "batch"), r"^Timer\(interval='batch'\): allowed: epoch, step"),
    ],
)
def test_what_it_does_not_understand_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Timer(*arguments)


def test_an_unknown_stage_is_refused() -> None:
    with pytest.raises(UsageError, match="a timer knows no stage 'training': did you mean 'train'"):
        Timer().time_elapsed("training")
