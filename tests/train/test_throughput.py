from __future__ import annotations

import pytest

from lifecycle.core.errors import UsageError
from lifecycle.train.throughput import Throughput


def test_rates_are_there_when_the_window_is_full() -> None:
    throughput = Throughput(window_size=3)
    throughput.update(time=1.0, batches=1, samples=4)
    throughput.update(time=2.0, batches=2, samples=8)
    assert throughput.compute() == {"time": 2.0, "batches": 2, "samples": 8}
    throughput.update(time=5.0, batches=4, samples=20)
    assert throughput.compute() == {
        "time": 5.0,
        "batches": 4,
        "samples": 20,
        "device/batches_per_sec": 0.75,  # 3 in 4 s
        "device/samples_per_sec": 4.0,  # 16 in 4 s
    }


def test_the_window_moves() -> None:
    throughput = Throughput(window_size=2)
    for time, batches in ((1.0, 1), (2.0, 2), (12.0, 4)):
        throughput.update(time=time, batches=batches, samples=batches)
    assert throughput.compute()["device/batches_per_sec"] == 0.2  # 2 in the last 10 s


def test_items_and_operations_have_rates_too() -> None:
    throughput = Throughput(available_flops=100, window_size=3, separator="|")
    for number, flops in enumerate((1000, 50, 70), start=1):
        throughput.update(time=2.0 * number, batches=number, samples=number, lengths=8 * number, flops=flops)
    metrics = throughput.compute()
    assert metrics["lengths"] == 24
    assert metrics["device|items_per_sec"] == 4.0  # 16 in 4 s
    assert metrics["device|flops_per_sec"] == 30.0  # 120 in 4 s: the first was done before they began
    assert metrics["device|mfu"] == 0.3


def test_several_devices_have_rates_of_all_together() -> None:
    throughput = Throughput(available_flops=10, world_size=4, window_size=2)
    throughput.update(time=1.0, batches=1, samples=2, lengths=6, flops=8)
    throughput.update(time=3.0, batches=2, samples=4, lengths=12, flops=8)
    metrics = throughput.compute()
    expected = {
        "device/batches_per_sec": 0.5,
        "device/samples_per_sec": 1.0,
        "device/items_per_sec": 3.0,
        "device/flops_per_sec": 4.0,
        "device/mfu": 0.4,
        "batches_per_sec": 2.0,
        "samples_per_sec": 4.0,
        "items_per_sec": 12.0,
        "flops_per_sec": 16.0,
    }
    assert {name: metrics[name] for name in expected} == expected


def test_it_begins_anew() -> None:
    throughput = Throughput(window_size=2)
    for time in (1.0, 2.0):
        throughput.update(time=time, batches=int(time), samples=int(time), lengths=int(time), flops=1)
    throughput.reset()
    throughput.update(time=0.5, batches=1, samples=1)
    assert throughput.compute() == {"time": 0.5, "batches": 1, "samples": 1}


@pytest.mark.parametrize(
    ("update", "message"),
    [
        (
            {"time": 1.0, "batches": 2, "samples": 8},
            "time must grow with each update: it was 1.0, and is 1.0",
        ),
        ({"time": 2.0, "batches": 1, "samples": 8}, "batches must grow"),
        ({"time": 2.0, "batches": 2, "samples": 1}, "got 2 batches, 1 samples"),
        ({"time": 2.0, "batches": 2, "samples": 8, "lengths": 7}, "8 samples, 7 items"),
    ],
)
def test_sums_that_cannot_be_are_refused(update: dict[str, float], message: str) -> None:
    throughput = Throughput()
    throughput.update(time=1.0, batches=1, samples=4, lengths=4)
    with pytest.raises(UsageError, match=message):
        throughput.update(**update)  # type: ignore[arg-type]
    throughput.update(time=2.0, batches=2, samples=8, lengths=8)  # nothing of it was taken


@pytest.mark.parametrize("options", [{"window_size": 1}, {"world_size": 0}])
def test_windows_and_devices_are_enough(options: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="expected a device and 2 updates at least"):
        Throughput(**options)  # type: ignore[arg-type]
