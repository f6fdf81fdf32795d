from __future__ import annotations

import pytest

from lifecycle.core.artifact import Artifact
from lifecycle.core.errors import LifecycleError, UsageError
from lifecycle.export.benchmark import Latency, measure_latency, median_interval, ratio
from lifecycle.export.probe import probe
from tests.export.networks import DIGITS


def test_calls_one_of_each_in_turn_after_warming_up() -> None:
    called: list[str] = []
    runs = {name: (lambda name=name: called.append(name)) for name in ("a", "b")}
    found = measure_latency(runs, calls=40, warm_up=2)
    rounds = [called[index : index + 2] for index in range(0, len(called), 2)]
    assert len(rounds) == 42 and all(sorted(each) == ["a", "b"] for each in rounds)
    assert {tuple(each) for each in rounds[2:]} == {("a", "b"), ("b", "a")}, "nobody is always first"
    assert set(found) == {"a", "b"}
    for latency in found.values():
        assert len(latency.times_ms) == 40
        assert 0 <= latency.low_ms <= latency.median_ms <= latency.high_ms
        assert latency.median_ms <= latency.p95_ms <= latency.p99_ms


def test_one_call_is_no_measurement() -> None:
    with pytest.raises(UsageError, match="calls must be 2 or more, got 1"):
        measure_latency({"a": list}, calls=1)


def test_the_interval_holds_the_median_about_as_often_as_it_says() -> None:
    import random

    draw = random.Random(5)
    held = 0
    for _ in range(400):
        low, high = median_interval([draw.expovariate(1.0) for _ in range(60)])
        held += low <= 0.6931 <= high
    assert 0.92 <= held / 400 <= 1


def test_a_ratio_is_taken_round_by_round() -> None:
    # The machine is ten times as slow in half of the rounds, for both.
    times = [1.0, 10.0] * 50
    one, other = (latency([factor * time for time in times]) for factor in (3, 1))
    assert ratio(one, other) == (3, 3, 3)


def test_a_process_of_its_own_tells_what_the_start_costs(float_bundle: Artifact) -> None:
    start = probe(float_bundle.file("model.onnx"), DIGITS, "onnx", 1, 1)
    assert start.load_ms > 0 and start.first_ms > 0
    assert 0 <= start.added_mb < start.peak_mb


def test_a_file_that_does_not_start_says_why(float_bundle: Artifact, tmp_path: object) -> None:
    with pytest.raises(
        LifecycleError, match=r"nothing\.onnx cannot be run in a process of its own: .*nothing"
    ):
        probe(float_bundle.path / "nothing.onnx", DIGITS, "onnx", 1, 1)


def latency(times: list[float]) -> Latency:
    return Latency(median_ms=0, low_ms=0, high_ms=0, p95_ms=0, p99_ms=0, times_ms=tuple(times))
