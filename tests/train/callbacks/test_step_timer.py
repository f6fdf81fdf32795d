from __future__ import annotations

import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import mse_loss

import lifecycle as pl
from lifecycle.callbacks import StepTimer
from lifecycle.core.errors import UsageError
from lifecycle.train.step_report import StepReport
from tests.train.callbacks.terminal import Terminal
from tests.train.small import Plain, Recorder, loader, quiet

SPLIT = {"data": 1.0, "transfer": 2.0, "forward": 4.0, "backward": 8.0, "optimizer": 16.0, "rest": 32.0}


class Clock:
    """Stands still but for what a step takes."""

    def __init__(self) -> None:
        self.now = 100.0

    def passes(self, phase: str) -> None:
        self.now += SPLIT[phase]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(
        "lifecycle.train.callbacks.stopwatch.time", SimpleNamespace(perf_counter=lambda: made.now)
    )
    return made


class Timed(Plain):
    """Every part of its step takes a time of its own."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        self.clock.passes("transfer")
        return batch

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        self.clock.passes("forward")
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.clock.now += 1000

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        self.clock.passes("backward")
        super().backward(loss, *args, **kwargs)

    def configure_optimizers(self) -> object:
        return Stepping(self.clock, self.parameters(), lr=0.05)


class Stepping(torch.optim.SGD):
    def __init__(self, clock: Clock, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.clock = clock

    def step(self, closure: Any = None) -> Any:
        found = super().step(closure)
        self.clock.passes("optimizer")
        return found


class Reading:
    """Batches that are waited for."""

    def __init__(self, clock: Clock, batches: int = 6) -> None:
        self.clock, self.batches = clock, batches

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[Any]:
        for batch in [*loader()][: self.batches]:
            self.clock.passes("data")
            yield batch


class After(pl.Callback):
    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_train_batch_start(self, *_: Any) -> None:
        self.clock.passes("rest")


def fitted(
    module: pl.Module, data: Reading, timer: StepTimer, *others: pl.Callback, **options: Any
) -> Recorder:
    logger = Recorder()
    trainer = quiet(
        **{"log_every_n_steps": 2, "num_sanity_val_steps": 1, **options}, callbacks=[timer, *others]
    )
    trainer.loggers = [logger]
    trainer.fit(module, data, Reading(data.clock))
    return logger


def split(report: StepReport | None) -> dict[str, float]:
    assert report is not None
    return {phase: report.ms(phase) / 1e3 for phase in SPLIT}


def times(logger: Recorder) -> list[tuple[int | None, dict[str, float]]]:
    return [(step, found) for step, found in logger.sent if "time/step_ms" in found]


def test_the_time_of_a_step_is_split(clock: Clock) -> None:
    timer = StepTimer()
    fitted(Timed(clock), Reading(clock), timer, After(clock), max_epochs=2)
    assert split(timer.report) == pytest.approx(SPLIT)
    assert timer.report is not None
    assert timer.report.step_ms == pytest.approx(63e3)
    [rank] = timer.report.ranks
    assert (rank.times.batches, rank.times.samples) == (11, 40)  # of 12 with 44; the first warms up
    # The first of two validations lies between steps that count, and is no part of them.
    assert timer.report.validation_s == pytest.approx(6 * (1000 + SPLIT["data"] + SPLIT["transfer"]))


def test_loggers_get_the_time_since_they_were_told_last(clock: Clock) -> None:
    logger = fitted(Timed(clock), Reading(clock), StepTimer(peak_flops=1e3), After(clock), max_epochs=1)
    assert [step for step, _ in times(logger)] == [1, 3, 5]
    _, second = times(logger)[1]
    assert {name: second[f"time/{name}_ms"] / 1e3 for name in SPLIT} == pytest.approx(SPLIT)
    assert second["throughput/samples_per_sec"] == pytest.approx(4 / 63)
    assert second["throughput/batches_per_sec"] == pytest.approx(1 / 63)
    assert second["memory/resident_peak_mb"] > 10
    assert not any("slowest" in name or "sync" in name or "max" in name for name in second)
    _, third = times(logger)[2]
    assert third["throughput/samples_per_sec"] == pytest.approx(3 / 63)  # the last batch has two samples


def test_the_share_of_the_device_is_counted_once_and_follows_the_samples(clock: Clock) -> None:
    # Two layers, 4 to 8 and 8 to 1, in operations for a sample: 2·(32 + 8) forward; backward the same for
    # the weights, and 2·8 more for what goes into the second.
    timer = StepTimer(peak_flops=16)
    fitted(Timed(clock), Reading(clock), timer, After(clock))
    assert timer.report is not None
    assert timer.report.ranks[0].flops_per_sample == 2 * 40 + 2 * 40 + 2 * 8
    assert timer.report.mfu == pytest.approx(timer.report.samples_per_sec * 176 / 16)


def test_a_module_may_tell_its_operations(clock: Clock) -> None:
    class Told(Timed):
        flops_per_batch = 4000

    timer = StepTimer(peak_flops=1e6)
    fitted(Told(clock), Reading(clock, 4), timer)
    assert timer.report is not None
    assert timer.report.ranks[0].flops_per_sample == 1000


def test_without_a_peak_nothing_is_counted_and_no_share_is_told(clock: Clock) -> None:
    timer = StepTimer()
    logger = fitted(Timed(clock), Reading(clock), timer)
    assert timer.report is not None
    assert timer.report.mfu is None
    assert timer.report.ranks[0].flops_per_sample == 0
    assert not any("throughput/mfu" in found for _, found in logger.sent)


def test_gradients_that_are_gathered_wait_for_the_report(clock: Clock) -> None:
    timer = StepTimer(warmup=0)
    logger = fitted(
        Timed(clock), Reading(clock), timer, log_every_n_steps=1, accumulate_grad_batches=4, max_epochs=1
    )
    assert [step for step, _ in times(logger)] == [0, 1]
    # two steps for six batches; what clears gradients and steps belongs to the optimizer
    assert split(timer.report)["optimizer"] == pytest.approx(2 * 16 / 6)
    assert split(timer.report)["backward"] == pytest.approx(8)


class Alternating(Timed):
    """Steps itself."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.automatic_optimization = False

    def training_step(self, batch: list[Tensor], batch_idx: int) -> None:  # type: ignore[override]
        optimizer = self.optimizers()
        self.clock.passes("forward")
        loss = mse_loss(self(batch[0]), batch[1])
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()


def test_manual_optimization_is_split_where_it_goes_through_the_trainer(
    clock: Clock, terminal: Terminal
) -> None:
    timer = StepTimer()
    with terminal:
        fitted(Alternating(clock), Reading(clock), timer, After(clock))
    assert split(timer.report) == pytest.approx(SPLIT)
    assert "manual optimization: forward is all of training_step but" in terminal.text()


def test_an_optimizer_that_asks_for_the_loss_itself_is_split_too(clock: Clock) -> None:
    class Asking(Stepping):
        def step(self, closure: Any = None) -> Any:
            closure()
            closure()
            self.clock.passes("optimizer")

    class Twice(Timed):
        def configure_optimizers(self) -> object:
            return Asking(self.clock, self.parameters(), lr=0.05)

        def optimizer_step(self, epoch: int, index: int, optimizer: Any, closure: Any = None) -> None:
            optimizer.step(closure=closure)

    timer = StepTimer()
    fitted(Twice(clock), Reading(clock), timer, After(clock))
    twice = {**SPLIT, "forward": 8.0, "backward": 16.0}
    assert split(timer.report) == pytest.approx(twice)


def test_a_table_shows_it_when_training_has_ended(clock: Clock, terminal: Terminal) -> None:
    with terminal:
        fitted(Timed(clock), Reading(clock), StepTimer(peak_flops=16), After(clock))
    text = terminal.text()
    assert "where the time of training steps went" in text
    for row in (
        "forward   │     4000.0 │    6%",
        "rest      │    32000.0 │   51%",
        "whole     │    63000.0 │  100%",
    ):
        assert row in text
    assert "5 batches were timed" in text
    assert "validations beside it: " not in text  # the only one came after the last step
    assert "model FLOPs utilisation: 62" in text
    assert "MB resident" in text


def test_the_table_can_be_silenced(clock: Clock, terminal: Terminal) -> None:
    log = logging.getLogger("lifecycle")
    log.setLevel(logging.WARNING)
    try:
        with terminal:
            fitted(Timed(clock), Reading(clock), StepTimer())
    finally:
        log.setLevel(logging.NOTSET)
    assert "where the time" not in terminal.text()


def test_a_fit_that_fails_reports_nothing_and_the_next_one_begins_anew(clock: Clock) -> None:
    class Failing(Timed):
        fails = True

        def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
            if self.fails:
                raise ArithmeticError
            super().backward(loss, *args, **kwargs)

    timer, module = StepTimer(peak_flops=1e3), Failing(clock)
    with pytest.raises(ArithmeticError):
        fitted(module, Reading(clock), timer, After(clock))
    assert timer.report is None
    module.fails = False
    fitted(module, Reading(clock), timer, After(clock))
    assert split(timer.report) == pytest.approx(SPLIT)


def test_it_changes_no_weight() -> None:
    def weights(*callbacks: pl.Callback) -> list[Tensor]:
        pl.seed_everything(3)
        module = Plain()
        quiet(max_epochs=2, callbacks=[*callbacks]).fit(module, loader(), loader())
        return [p.detach() for p in module.parameters()]

    for ours, plain in zip(weights(StepTimer(peak_flops=1e9)), weights(), strict=True):
        assert torch.equal(ours, plain)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"peak_flops": 0}, r"StepTimer\(peak_flops=0\): expected operations a second, as 989.5e12, or None"),
        ({"peak_flops": "1e12"}, r"StepTimer\(peak_flops='1e12'\): expected operations a second"),
        ({"warmup": -1}, r"StepTimer\(warmup=-1\): expected a whole number of at least 0"),
        ({"warmup": True}, r"StepTimer\(warmup=True\)"),
    ],
)
def test_wrong_arguments_are_told(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        StepTimer(**options)
