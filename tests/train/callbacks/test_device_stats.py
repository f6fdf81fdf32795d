from __future__ import annotations

import pytest
import torch

from lifecycle.callbacks import DeviceStatsMonitor
from lifecycle.core.errors import UsageError
from tests.train.callbacks.terminal import showing
from tests.train.small import Plain, Recorder, loader

CPU = {"cpu_percent", "cpu_vm_percent", "cpu_swap_percent"}


class Logger(Recorder):
    """Counts as a logger of Lightning's kind."""

    group_separator = "."


def sent(
    monitor: DeviceStatsMonitor, logger: Recorder, **options: object
) -> dict[tuple[int | None, str], set[str]]:
    """The names of what was reported, by step and hook."""
    trainer = showing(callbacks=monitor, log_every_n_steps=3, num_sanity_val_steps=3, **options)
    trainer.loggers = [logger]
    trainer.fit(Plain(), loader(), loader())
    found: dict[tuple[int | None, str], set[str]] = {}
    for step, metrics in logger.sent:
        for name in metrics:
            if name.startswith("DeviceStatsMonitor."):
                hook, _, value = name.removeprefix("DeviceStatsMonitor.").replace(".", "/").partition("/")
                found.setdefault((step, hook), set()).add(value)
    return found


def test_the_processor_is_reported_around_batches_that_are_logged() -> None:
    assert sent(DeviceStatsMonitor(), Recorder()) == {
        (2, "on_train_batch_start"): CPU,
        (2, "on_train_batch_end"): CPU,
        (5, "on_train_batch_start"): CPU,
        (5, "on_train_batch_end"): CPU,
        (5, "on_validation_batch_start"): CPU,
        (5, "on_validation_batch_end"): CPU,
    }


def test_values_are_percentages() -> None:
    logger = Recorder()
    sent(DeviceStatsMonitor(), logger)
    values = [
        value
        for _, metrics in logger.sent
        for name, value in metrics.items()
        if name.startswith("DeviceStats")
    ]
    assert values and all(0 <= value <= 100 for value in values)


def test_the_processor_can_be_left_out() -> None:
    assert sent(DeviceStatsMonitor(cpu_stats=False), Recorder()) == {}


def test_the_test_is_reported_too() -> None:
    logger = Recorder()
    trainer = showing(callbacks=DeviceStatsMonitor(), log_every_n_steps=6)
    trainer.loggers = [logger]
    trainer.test(Plain(), loader(), verbose=False)
    names = {name.partition("/")[0] for _, metrics in logger.sent for name in metrics if "/" in name}
    assert names == {f"DeviceStatsMonitor.on_test_batch_{moment}" for moment in ("start", "end")}


def test_a_trainer_without_a_logger_is_refused() -> None:
    with pytest.raises(UsageError, match="DeviceStatsMonitor reports to loggers, and the trainer has none"):
        showing(callbacks=DeviceStatsMonitor(), logger=False).fit(Plain(), loader())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("cpu_stats", [None, True])
def test_of_a_gpu_its_memory_is_reported(cpu_stats: bool | None) -> None:
    found = sent(DeviceStatsMonitor(cpu_stats), Recorder(), accelerator="gpu")
    names = found[(2, "on_train_batch_end")]
    assert "allocated_bytes/all/peak" in names
    assert (names >= CPU) == bool(cpu_stats)
