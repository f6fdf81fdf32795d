from __future__ import annotations

import time
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch

from lifecycle.train.callbacks.stopwatch import Stopwatch

CPU = torch.device("cpu")


def test_steps_come_once_in_order_and_with_growing_times() -> None:
    before = time.perf_counter()
    watch: Stopwatch[int] = Stopwatch(CPU)
    for step in range(100):
        watch.lap(step)
    passed = time.perf_counter() - before
    found = list(watch.arrived())
    assert [step for _, step in found] == list(range(100))
    times = [seconds for seconds, _ in found]
    assert all(0 < first < second <= passed for first, second in pairwise(times))
    assert list(watch.arrived()) == []


def test_times_grow_where_clocks_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    standing = SimpleNamespace(perf_counter=lambda: 5.0)
    monkeypatch.setattr("lifecycle.train.callbacks.stopwatch.time", standing)
    watch: Stopwatch[int] = Stopwatch(CPU)
    for step in range(3):
        watch.lap(step)
    first, second, third = (seconds for seconds, _ in watch.arrived())
    assert 0 < first < second < third < 1e-9


def test_a_pause_does_not_count() -> None:
    watch: Stopwatch[str] = Stopwatch(CPU)
    before = time.perf_counter()
    watch.pause()
    time.sleep(0.05)
    watch.resume()
    watch.lap("after")
    [(seconds, _)] = watch.arrived()
    assert time.perf_counter() - before - seconds >= 0.05


def test_steps_of_a_gpu_are_as_exact_after_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    class Event:
        """As CUDA's: the time between two is told in milliseconds, in single precision."""

        now = 0.0

        def __init__(self, enable_timing: bool) -> None:
            self.at = 0.0

        def record(self, stream: object) -> None:
            self.at = Event.now

        def query(self) -> bool:
            return True

        def elapsed_time(self, other: Event) -> float:
            return float(torch.tensor(other.at - self.at, dtype=torch.float32))

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    watch: Stopwatch[int] = Stopwatch(torch.device("cuda"))
    for step, at in enumerate([10 * 3600e3, 10 * 3600e3 + 0.7, 10 * 3600e3 + 1.1]):  # ten hours
        Event.now = at
        watch.lap(step)
    first, second, third = (seconds for seconds, _ in watch.arrived())
    assert (second - first, third - second) == pytest.approx((0.7e-3, 0.4e-3), rel=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_steps_of_a_gpu_are_timed_by_it() -> None:
    watch: Stopwatch[str] = Stopwatch(torch.device("cuda"))
    torch.cuda._sleep(50_000_000)
    watch.lap("slow")
    assert list(watch.arrived()) == []
    torch.cuda.synchronize()
    [(seconds, step)] = watch.arrived()
    assert step == "slow" and seconds > 0
