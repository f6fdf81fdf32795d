"""What ``self.log`` reports; expected values are computed by hand from the batches."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import lifecycle as pl
from lifecycle.train.metrics import scalar
from tests.train.small import Plain, Recorder, loader, quiet

# Batches of 4, 4 and 2 samples; the values below are logged, one for each batch.
VALUES = (1.0, 2.0, 6.0)
WEIGHTED_MEAN = (4 * 1.0 + 4 * 2.0 + 2 * 6.0) / 10
Log = Callable[[pl.Module, int], None]


class Logging(Plain):
    """Logs what it is told to, in the steps and hooks that it is told of."""

    def __init__(self, **where: Log) -> None:
        super().__init__()
        self.where = where

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        self.write("train", batch_idx)
        return self(batch[0]).sum()  # type: ignore[no-any-return]

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.write("val", batch_idx)

    def write(self, where: str, index: int = 0) -> None:
        if where in self.where:
            self.where[where](self, index)

    def on_train_start(self) -> None:
        self.write("train_start")

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.write("train_batch_end", batch_idx)

    def on_validation_epoch_end(self) -> None:
        self.write("val_epoch_end")

    def on_train_epoch_end(self) -> None:
        self.write("train_epoch_end")


def logs(name: str = "x", **options: Any) -> Log:
    return lambda module, index: module.log(name, torch.tensor(VALUES[index]), **options)


def fit(
    max_epochs: int = 1, *, callbacks: Any = None, every: int = 1, **where: Log
) -> tuple[pl.Trainer, Recorder]:
    """Train on 3 batches, validate on 3."""
    recorder = Recorder()
    trainer = quiet(
        max_epochs=max_epochs,
        limit_train_batches=3,
        logger=recorder,
        log_every_n_steps=every,
        callbacks=callbacks,
    )
    split = torch.utils.data.DataLoader(torch.utils.data.Subset(loader().dataset, range(10)), 4)
    trainer.fit(Logging(**where), split, split)
    return trainer, recorder


def floats(metrics: Any) -> dict[str, Any]:
    return {name: pytest.approx(float(value)) for name, value in metrics.items()}


@pytest.mark.parametrize(
    ("options", "metrics"),
    [
        ({}, {"x": 6.0}),
        ({"on_step": True}, {"x": 6.0}),
        ({"on_epoch": True}, {"x_step": 6.0, "x_epoch": WEIGHTED_MEAN, "x": WEIGHTED_MEAN}),
        (
            {"on_step": True, "on_epoch": True},
            {"x_step": 6.0, "x_epoch": WEIGHTED_MEAN, "x": WEIGHTED_MEAN},
        ),
        ({"on_step": False, "on_epoch": True}, {"x": WEIGHTED_MEAN}),
        ({"on_step": False, "on_epoch": True, "reduce_fx": "sum"}, {"x": 9.0}),
        ({"on_step": False, "on_epoch": True, "reduce_fx": "min"}, {"x": 1.0}),
        ({"on_step": False, "on_epoch": True, "reduce_fx": "max"}, {"x": 6.0}),
        ({"on_step": False, "on_epoch": True, "batch_size": 1}, {"x": 3.0}),
    ],
)
def test_training_steps_report_each_step_or_the_epoch(options: Any, metrics: dict[str, float]) -> None:
    trainer, _ = fit(train=logs(**options))
    assert floats(trainer.callback_metrics) == metrics


@pytest.mark.parametrize(
    ("options", "metrics"),
    [
        ({}, {"x": WEIGHTED_MEAN}),
        ({"on_step": True, "on_epoch": True}, {"x": WEIGHTED_MEAN, "x_epoch": WEIGHTED_MEAN}),
        ({"reduce_fx": "max"}, {"x": 6.0}),
        ({"logger": False}, {"x": WEIGHTED_MEAN}),
    ],
)
def test_validation_reports_the_epoch(options: Any, metrics: dict[str, float]) -> None:
    trainer, _ = fit(val=logs(**options))
    assert floats(trainer.callback_metrics) == metrics
    split = torch.utils.data.DataLoader(torch.utils.data.Subset(loader().dataset, range(10)), 4)
    assert floats(trainer.validate(Logging(val=logs(**options)), split)[0]) == metrics


def test_an_epochs_values_are_its_own() -> None:
    seen = []

    class See(pl.Callback):
        def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.Module) -> None:
            seen.append(float(trainer.callback_metrics["x"]))

    def log(module: pl.Module, index: int) -> None:
        module.log("x", module.current_epoch, on_step=False, on_epoch=True)

    fit(3, callbacks=See(), train=log)
    assert seen == [0.0, 1.0, 2.0]


def test_the_logger_gets_every_nth_step_and_every_epoch() -> None:
    _, recorder = fit(2, every=2, train=logs(on_step=True, on_epoch=True), val=logs("v"))
    # Steps are counted over epochs: the 2nd, 4th and 6th of them, which logged 2.0, 1.0 and 6.0.
    assert [(sorted(sent), sent["epoch"], sent.get("x_step")) for _, sent in recorder.sent] == [
        (["epoch", "x_step"], 0.0, 2.0),
        (["epoch", "v"], 0.0, None),
        (["epoch", "x_epoch"], 0.0, None),
        (["epoch", "x_step"], 1.0, 1.0),
        (["epoch", "x_step"], 1.0, 6.0),
        (["epoch", "v"], 1.0, None),
        (["epoch", "x_epoch"], 1.0, None),
    ]
    steps = [step or 0 for step, _ in recorder.sent]
    assert steps == sorted(steps)


def test_what_the_logger_is_not_to_have_it_does_not_get() -> None:
    trainer, recorder = fit(train=logs(logger=False, on_epoch=True), val=logs("v", logger=False))
    assert recorder.sent == []
    assert {"x", "x_step", "x_epoch", "v"} == set(trainer.callback_metrics)
    assert not trainer.logged_metrics


def test_the_bar_gets_what_is_meant_for_it() -> None:
    trainer, _ = fit(train=logs(on_epoch=True, prog_bar=True), val=logs("v", prog_bar=True))
    assert floats(trainer.progress_bar_metrics) == {
        "x_step": 6.0,
        "x_epoch": WEIGHTED_MEAN,
        "v": WEIGHTED_MEAN,
    }
    assert not fit(train=logs(), val=logs("v"))[0].progress_bar_metrics


def test_hooks_around_steps_can_log() -> None:
    def log(name: str) -> Log:
        return lambda module, index: module.log(name, 5.0 + index)

    trainer, recorder = fit(
        train_start=log("start"),
        train_batch_end=log("batch_end"),
        val_epoch_end=log("val_end"),
        train_epoch_end=log("epoch_end"),
    )
    assert [{name: sent[name] for name in sent if name != "epoch"} for _, sent in recorder.sent] == [
        {"batch_end": 5.0},
        {"batch_end": 6.0},
        {"batch_end": 7.0},
        {"val_end": 5.0},
        {"start": 5.0, "epoch_end": 5.0},
    ]
    assert floats(trainer.callback_metrics) == {
        "start": 5.0,
        "batch_end": 7.0,
        "val_end": 5.0,
        "epoch_end": 5.0,
    }


def test_callbacks_that_end_an_epoch_see_its_training_metrics() -> None:
    seen: dict[str, float] = {}

    class See(pl.Callback):
        def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.Module) -> None:
            seen.update({name: float(value) for name, value in trainer.callback_metrics.items()})
            pl_module.log("from_callback", 3.0)

    trainer, _ = fit(callbacks=See(), train=logs(on_step=False, on_epoch=True))
    assert seen == {"x": pytest.approx(WEIGHTED_MEAN)}
    assert trainer.callback_metrics["from_callback"] == 3.0


def test_log_dict_reports_each_entry_alike() -> None:
    def log(module: pl.Module, index: int) -> None:
        module.log_dict({"a": VALUES[index], "b": 1}, on_step=False, on_epoch=True, reduce_fx="sum")

    assert floats(fit(train=log)[0].callback_metrics) == {"a": 9.0, "b": 3.0}


@pytest.mark.parametrize("value", [2, 2.0, True, torch.tensor([[2.0]]), torch.tensor(2, dtype=torch.int64)])
def test_a_number_is_a_tensor_of_one_element(value: object) -> None:
    taken = scalar("x", value)
    assert taken.shape == ()
    assert taken.is_floating_point()
    assert float(taken) == float(value)  # type: ignore[arg-type]


def test_values_do_not_keep_the_graph() -> None:
    trainer, _ = fit(train=lambda module, index: module.log("x", next(module.parameters()).sum()))
    assert not trainer.callback_metrics["x"].requires_grad


def test_means_are_not_spoiled_by_whole_numbers() -> None:
    trainer, _ = fit(train=lambda m, i: m.log("x", torch.tensor(i), on_step=False, on_epoch=True))
    assert math.isclose(float(trainer.callback_metrics["x"]), (0 * 4 + 1 * 4 + 2 * 2) / 10, rel_tol=1e-6)


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (
            lambda m, i: m.log("x", torch.zeros(2)),
            r"^log\('x', …\) takes one number, got a tensor of shape \[2\]$",
        ),
        (lambda m, i: m.log("x", "1"), r"^log\('x', …\) takes a number or a tensor of one element, got str$"),
        (
            lambda m, i: m.log("x", 1.0, on_epoch=True, reduce_fx="median"),
            r"^log\('x', reduce_fx='median'\): allowed: mean, sum, min, max$",
        ),
        (
            lambda m, i: m.log("x", 1.0, on_step=False),
            r"^log\('x', on_step=False, on_epoch=False\) reports nothing",
        ),
    ],
)
def test_what_cannot_be_reported_is_refused(log: Log, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(train=log)


def test_outside_of_a_loop_there_is_nobody_to_report_to() -> None:
    module = Plain()
    message = r"^self.log\('x', …\) works in steps and hooks that a Trainer runs, not outside$"
    with pytest.raises(RuntimeError, match=message):
        module.log("x", 1.0)
    quiet(limit_train_batches=1).fit(module, loader())
    with pytest.raises(RuntimeError, match=message):
        module.log("x", 1.0)
