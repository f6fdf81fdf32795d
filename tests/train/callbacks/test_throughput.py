from __future__ import annotations

import time
from typing import Any

import pytest

import lifecycle as pl
from lifecycle.callbacks import ThroughputMonitor
from tests.train.callbacks.terminal import showing
from tests.train.small import Plain, Recorder, loader

Sent = list[tuple[int | None, dict[str, float]]]


def size(batch: Any) -> int:
    return len(batch[0])


def items(batch: Any) -> int:
    return int(batch[0].numel())


def fitted(monitor: ThroughputMonitor, module: pl.Module | None = None, **options: Any) -> Sent:
    """What the monitor reported in a fit."""
    logger = Recorder()
    trainer = showing(**{"callbacks": monitor, "log_every_n_steps": 2, "num_sanity_val_steps": 1, **options})
    trainer.loggers = [logger]
    trainer.fit(module or Plain(), loader(), loader())
    return about(logger)


def about(logger: Recorder) -> Sent:
    return [(step, metrics) for step, metrics in logger.sent if any("samples" in name for name in metrics)]


def sums(sent: Sent, stage: str) -> list[tuple[int | None, float, float]]:
    name = f"{stage}/samples"
    return [(step, m[f"{stage}/batches"], m[name]) for step, m in sent if name in m]


def test_sums_are_reported_with_steps_that_are_logged() -> None:
    sent = fitted(ThroughputMonitor(size), max_epochs=2)
    # five batches of 4 samples and one of 2; training goes on counting, validation begins anew
    assert sums(sent, "train") == [
        (1, 2, 8),
        (3, 4, 16),
        (5, 6, 22),
        (7, 8, 30),
        (9, 10, 38),
        (11, 12, 44),
    ]
    assert sums(sent, "validate") == 2 * [(1, 2, 8), (3, 4, 16), (5, 6, 22)]


def test_rates_are_of_the_same_time() -> None:
    sent = fitted(ThroughputMonitor(size, items, window_size=3), Flops())
    full = [metrics for step, metrics in sent if step == 3 and "train/time" in metrics]
    [metrics] = full
    per_batch = metrics["train/device/batches_per_sec"]
    assert per_batch > 0
    assert metrics["train/device/samples_per_sec"] == pytest.approx(4 * per_batch)
    assert metrics["train/device/items_per_sec"] == pytest.approx(16 * per_batch)
    assert metrics["train/device/flops_per_sec"] == pytest.approx(1000 * per_batch)
    assert metrics["train/lengths"] == 64
    assert not any("per_sec" in name for step, metrics in sent if step == 1 for name in metrics)


class Flops(Plain):
    flops_per_batch = 1000


def test_names_can_be_separated_otherwise() -> None:
    sent = fitted(ThroughputMonitor(size, window_size=2, separator="|"))
    assert "train|device|samples_per_sec" in sent[0][1]


def test_gradients_that_are_still_gathered_are_not_reported() -> None:
    sent = fitted(ThroughputMonitor(size), log_every_n_steps=1, accumulate_grad_batches=4)
    assert sums(sent, "train") == [(0, 4, 16), (1, 6, 22)]


def test_validation_is_no_time_of_training() -> None:
    class Slow(Plain):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            time.sleep(0.01)
            return super().training_step(batch, batch_idx)

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            time.sleep(0.02)

    before = time.perf_counter()
    sent = fitted(ThroughputMonitor(size), Slow(), max_epochs=2, val_check_interval=2, num_sanity_val_steps=0)
    passed = time.perf_counter() - before
    trained = max(metrics.get("train/time", 0.0) for _, metrics in sent)
    # five validations of six batches lie before the last report
    assert passed - trained >= 5 * 6 * 0.02
    assert trained >= 12 * 0.01


@pytest.mark.parametrize("verb", ["validate", "test", "predict"])
def test_the_other_verbs_are_measured_too(verb: str) -> None:
    class Predicting(Plain):
        def predict_step(self, batch: Any, batch_idx: int) -> Any:
            return self(batch[0])

    logger = Recorder()
    trainer = showing(callbacks=ThroughputMonitor(size), log_every_n_steps=3)
    trainer.loggers = [logger]
    getattr(trainer, verb)(Predicting(), loader())
    assert sums(about(logger), verb) == [(2, 3, 12), (5, 6, 22)]
