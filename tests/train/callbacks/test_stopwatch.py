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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_steps_of_a_gpu_are_timed_by_it() -> None:
    watch: Stopwatch[str] = Stopwatch(torch.device("cuda"))
    torch.cuda._sleep(50_000_000)
    watch.lap("slow")
    assert list(watch.arrived()) == []
    torch.cuda.synchronize()
    [(seconds, step)] = watch.arrived()
    assert step == "slow" and seconds > 0
