from __future__ import annotations

import logging
import math
import sys
from typing import Any

import pytest
import torch

import lifecycle as pl
from lifecycle.core.errors import UsageError
from lifecycle.train.range_test import LRFinder
from lifecycle.tuner import Tuner
from tests.train.small import Plain, loader, quiet


def found(lrs: list[float], losses: list[float], mode: str = "linear") -> LRFinder:
    finder = LRFinder(mode, lrs[0], lrs[-1], len(lrs))
    finder.results = {"lr": lrs, "loss": losses}
    return finder


def test_the_suggestion_is_where_the_loss_falls_most_steeply() -> None:
    lrs = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    finder = found(lrs, [9.0, 8.9, 8.0, 5.0, 4.8, 4.7])
    assert finder.suggestion(skip_begin=0, skip_end=0) == 0.3  # (5.0 - 8.9) / 0.2
    assert finder.suggestion(skip_begin=3, skip_end=0) == 0.4
    assert finder.suggestion(skip_begin=0, skip_end=4) == 0.1


def test_values_that_are_not_finite_do_not_count() -> None:
    finder = found([0.1, 0.2, 0.3, 0.4, 0.5], [9.0, math.nan, 8.0, 2.0, math.inf])
    assert finder.suggestion(0, 0) == 0.4


def test_too_few_points_give_none(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert found([0.1] * 12, [1.0] * 12).suggestion() is None
    assert "no learning rate can be suggested from 1 of 12 points" in caplog.text


@pytest.mark.parametrize(
    ("mode", "rates"), [("exponential", [1e-4, 1e-2, 1e-1, 1.0]), ("linear", [1e-4, 0.50005, 0.750025, 1.0])]
)
def test_rates_grow(mode: str, rates: list[float]) -> None:
    finder = LRFinder(mode, 1e-4, 1.0, 4)
    assert [finder.rate(step) for step in range(4)] == pytest.approx(rates)


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(UsageError, match="no mode 'exponent': did you mean 'exponential'"):
        LRFinder("exponent", 1e-4, 1.0, 4)


class Given(Plain):
    """Its losses are given, and it notes the learning rates that it is trained with."""

    def __init__(self, losses: list[float]) -> None:
        super().__init__()
        self.losses = losses
        self.rates: list[float] = []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = self.net(batch[0]).sum() * 0 + self.losses[len(self.rates) % len(self.losses)]
        self.rates.append(self.optimizers(use_pl_optimizer=False).param_groups[0]["lr"])
        return None if math.isnan(self.losses[0]) else loss


def run(module: Given, **options: Any) -> LRFinder:
    given = {"num_training": 5, "min_lr": 0.1, "max_lr": 1.0, "mode": "linear", "update_attr": False}
    finder = Tuner(quiet(**options.pop("trainer", {}))).lr_find(module, loader(), **{**given, **options})
    assert finder is not None
    return finder


def test_every_step_is_noted_with_its_smoothed_loss() -> None:
    module = Given([1.0, 2.0, 4.0])
    results = run(module).results
    assert results["lr"] == pytest.approx([0.1, 0.46, 0.64, 0.82, 1.0])
    assert module.rates == pytest.approx(results["lr"])
    # avg = 0.98 avg + 0.02 loss; divided by 1 - 0.98 ** (step + 1)
    assert results["loss"][0] == pytest.approx(0.02 / (1 - 0.98**2))
    assert results["loss"][1] == pytest.approx((0.98 * 0.02 + 0.02 * 2) / (1 - 0.98**3))


def test_a_diverging_loss_ends_it() -> None:
    module = Given([1.0, 1.0, 999.0])
    assert len(run(module).results["loss"]) == 3
    assert len(run(Given([1.0, 1.0, 999.0]), early_stop_threshold=None).results["loss"]) == 5


def test_it_goes_on_over_the_end_of_an_epoch() -> None:
    assert len(run(Given([1.0]), num_training=20, trainer={"max_epochs": 1}).results["lr"]) == 20


def test_a_window_of_batches_is_one_point() -> None:
    module = Given([1.0, 3.0])
    results = run(module, trainer={"accumulate_grad_batches": 2}).results
    assert len(results["lr"]) == 5 and len(module.rates) == 10
    assert results["loss"][0] == pytest.approx(2.0 * 0.02 / (1 - 0.98**2))


def test_steps_without_a_loss_are_gaps() -> None:
    results = run(Given([math.nan])).results
    assert len(results["lr"]) == 5 and all(map(math.isnan, results["loss"]))


def test_a_plot_shows_the_points_and_the_suggestion(monkeypatch: pytest.MonkeyPatch) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    lrs = [10.0**-power for power in range(14, 0, -1)]
    finder = found(lrs, [float(value) for value in range(14, 0, -1)], "exponential")
    figure = finder.plot(suggest=True)
    (axes,) = figure.axes
    assert (axes.get_xscale(), axes.get_xlabel(), axes.get_ylabel()) == ("log", "Learning rate", "Loss")
    line, point = axes.lines
    assert list(line.get_xdata()) == lrs
    assert point.get_xdata()[0] == finder.suggestion()
    other = matplotlib.figure.Figure()
    assert found(lrs, [1.0] * 14).plot(ax=other.subplots()) is other
    assert other.axes[0].get_xscale() == "linear"


def test_a_plot_without_matplotlib_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(UsageError, match="pip install matplotlib"):
        found([0.1], [1.0]).plot()


def test_only_one_optimizer_that_the_trainer_steps() -> None:
    class Two(Plain):
        automatic_optimization = False

        def configure_optimizers(self) -> Any:
            return [torch.optim.SGD(part.parameters(), 0.1) for part in (self.net[0], self.net[3])]

    with pytest.raises(UsageError, match="a range test works with one optimizer, and there are 2"):
        Tuner(quiet()).lr_find(Two(), loader())

    class Manual(Plain):
        automatic_optimization = False

    with pytest.raises(UsageError, match="a tuner needs automatic optimization"):
        Tuner(quiet()).lr_find(Manual(), loader())


def test_the_module_sees_no_step_of_it() -> None:
    class Watching(Given):
        def on_train_batch_end(self, *_: Any) -> None:
            assert isinstance(self.trainer, pl.Trainer)
            self.steps = self.trainer.global_step

    module = Watching([1.0])
    run(module)
    assert module.steps == 0
