from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import StepLR

import lifecycle as pl
from lifecycle.callbacks import LearningRateMonitor
from lifecycle.core.errors import UsageError
from lifecycle.train.callbacks.lr_monitor import named
from lifecycle.train.optim import Schedule
from tests.train.callbacks.disturbed import both, differences
from tests.train.small import Plain, loader, quiet, seeded


class Sent:
    """A logger that keeps learning rates."""

    name, version, save_dir = "sent", 0, None

    def __init__(self) -> None:
        self.sent: list[tuple[int | None, dict[str, float]]] = []

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        kept = {name: value for name, value in metrics.items() if name not in ("train_loss_step", "epoch")}
        if kept and not any(name.startswith(("train", "val")) for name in kept):
            self.sent.append((step, kept))


class Optimized(Plain):
    make: Callable[[Any], Any]

    def configure_optimizers(self) -> Any:
        return self.make(self)


def optimized(make: Callable[[Any], Any]) -> Optimized:
    module = seeded(Optimized)
    module.make = make
    return module  # type: ignore[no-any-return]


def sgd(module: Any) -> SGD:
    return SGD(module.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)


def by_epoch(module: Any) -> Any:
    optimizer = sgd(module)
    return [optimizer], [StepLR(optimizer, 1, gamma=0.5)]


def by_step(module: Any) -> Any:
    optimizer = sgd(module)
    return [optimizer], [{"scheduler": StepLR(optimizer, 1, gamma=0.5), "interval": "step", "name": "mine"}]


def fit(monitor: LearningRateMonitor, make: Callable[[Any], Any], **options: Any) -> tuple[pl.Trainer, Sent]:
    sent = Sent()
    given = {"max_epochs": 2, "logger": sent, "log_every_n_steps": 3, "callbacks": [monitor]}
    trainer = quiet(**{**given, **options})
    trainer.fit(optimized(make), loader())
    return trainer, sent


def test_a_schedule_of_epochs_is_reported_with_epochs() -> None:
    monitor = LearningRateMonitor()
    trainer, sent = fit(monitor, by_epoch)
    assert sent.sent == [(0, {"lr-SGD": 0.1}), (6, {"lr-SGD": 0.05})]
    assert monitor.lrs == {"lr-SGD": [0.1, 0.05]}
    assert float(trainer.callback_metrics["lr-SGD"]) == pytest.approx(0.05)


def test_a_schedule_of_steps_is_reported_when_steps_are() -> None:
    _, sent = fit(LearningRateMonitor(), by_step)
    assert [(step, values["mine"] * 2**step) for step, values in sent.sent] == [
        (2, 0.1),
        (5, 0.1),
        (8, 0.1),
        (11, 0.1),
    ]


def test_an_optimizer_without_a_schedule_is_reported_with_both() -> None:
    _, sent = fit(LearningRateMonitor(), sgd)
    assert [step for step, _ in sent.sent] == [0, 2, 5, 6, 8, 11]


@pytest.mark.parametrize(
    ("interval", "make", "steps"),
    [("step", by_epoch, [2, 5, 8, 11]), ("epoch", by_step, [0, 6]), ("epoch", sgd, [0, 6])],
)
def test_the_interval_can_be_chosen(interval: Any, make: Any, steps: list[int]) -> None:
    assert [step for step, _ in fit(LearningRateMonitor(interval), make)[1].sent] == steps


def test_steps_are_those_of_the_loggers_when_gradients_are_accumulated() -> None:
    _, sent = fit(LearningRateMonitor("step"), by_step, accumulate_grad_batches=2, log_every_n_steps=2)
    assert [(step, round(values["mine"] * 2**step, 6)) for step, values in sent.sent] == [
        (1, 0.1),
        (1, 0.1),
        (3, 0.1),
        (3, 0.1),
        (5, 0.1),
        (5, 0.1),
    ]


def test_momentum_and_weight_decay() -> None:
    monitor = LearningRateMonitor("epoch", log_momentum=True, log_weight_decay=True)
    _, sent = fit(monitor, by_step, max_epochs=1)
    assert sent.sent == [(0, {"mine": 0.1, "mine-momentum": 0.9, "mine-weight_decay": 0.01})]
    assert monitor.last_momentum_values == {"mine-momentum": 0.9}
    assert monitor.last_weight_decay_values == {"mine-weight_decay": 0.01}


def test_the_first_beta_is_a_momentum() -> None:
    make = lambda module: Adam(module.parameters(), lr=0.1, betas=(0.8, 0.9))  # noqa: E731
    _, sent = fit(LearningRateMonitor("epoch", log_momentum=True), make, max_epochs=1)
    assert sent.sent == [(0, {"lr-Adam": 0.1, "lr-Adam-momentum": 0.8})]


def test_an_optimizer_without_momentum_is_warned_of() -> None:
    make = lambda module: torch.optim.Adagrad(module.parameters(), lr=0.1)  # noqa: E731
    with pytest.warns(RuntimeWarning, match="Adagrad has no momentum; 0 is reported"):
        _, sent = fit(LearningRateMonitor("epoch", log_momentum=True), make, max_epochs=1)
    assert sent.sent == [(0, {"lr-Adagrad": 0.1, "lr-Adagrad-momentum": 0.0})]


def optimizers(*kinds: type[Optimizer]) -> list[Any]:
    return [kind([torch.nn.Parameter(torch.zeros(1))], lr=0.1) for kind in kinds]  # type: ignore[call-arg]


def test_names_of_several_optimizers() -> None:
    first, second, third, other = optimizers(Adam, Adam, Adam, SGD)
    schedules = [
        Schedule(scheduler=StepLR(first, 1)),
        Schedule(scheduler=StepLR(other, 1), name="slow", interval="step"),
    ]
    found = named(schedules, [first, second, third, other])
    assert [(item.names, item.interval) for item in found] == [
        (("lr-Adam",), "epoch"),
        (("slow",), "step"),
        (("lr-Adam-1",), None),
        (("lr-Adam-2",), None),
    ]


def test_a_name_of_its_own_takes_no_number() -> None:
    first, second = optimizers(Adam, Adam)
    schedules = [Schedule(scheduler=StepLR(first, 1), name="slow"), Schedule(scheduler=StepLR(second, 1))]
    assert [item.names for item in named(schedules, [])] == [("slow",), ("lr-Adam",)]


def test_names_of_several_groups() -> None:
    (optimizer,) = optimizers(SGD)
    optimizer.param_groups[0]["name"] = "body"
    assert named([], [optimizer])[0].names == ("lr-SGD/body",)
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))]})
    assert named([], [optimizer])[0].names == ("lr-SGD/body", "lr-SGD/pg2")
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))], "name": "body"})
    with pytest.raises(UsageError, match="SGD has several groups of parameters with the name 'body'"):
        named([], [optimizer])


def test_a_rate_keeps_its_history_when_a_second_group_comes() -> None:
    class Growing(pl.Callback):
        def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.Module) -> None:
            if trainer.current_epoch == 0:
                trainer.optimizers[0].add_param_group(
                    {"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.7}
                )

    monitor = LearningRateMonitor("epoch")
    fit(monitor, sgd, callbacks=[monitor, Growing()])
    assert monitor.lrs == {"lr-SGD/pg1": [0.1, 0.1], "lr-SGD/pg2": [0.7]}


def test_a_trainer_without_a_logger_is_refused() -> None:
    with pytest.raises(UsageError, match="the trainer has none"):
        fit(LearningRateMonitor(), sgd, logger=False)


def test_a_wrong_interval_is_refused() -> None:
    with pytest.raises(UsageError, match=r"logging_interval='batch'\): allowed: 'step', 'epoch', None"):
        LearningRateMonitor("batch")  # type: ignore[arg-type]


@pytest.mark.parametrize("before", [5, 6, 9])
def test_a_resumed_fit_goes_on_with_its_rates(tmp_path: Path, before: int) -> None:
    monitors: list[LearningRateMonitor] = []

    def callbacks() -> list[pl.Callback]:
        monitors.append(LearningRateMonitor())
        return [monitors[-1]]

    whole, parts = both(
        tmp_path,
        callbacks,
        lambda: optimized(by_step),
        before=before,
        max_epochs=2,
        logger=Sent(),
        log_every_n_steps=1,
    )
    assert len(monitors[0].lrs["mine"]) == 12
    assert monitors[0].lrs == monitors[2].lrs
    assert differences(whole, parts) == []
