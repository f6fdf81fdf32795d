"""Which candidate is named, from figures that are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lifecycle.core.artifact import Artifact
from lifecycle.core.errors import UsageError
from lifecycle.export.benchmark import Latency
from lifecycle.export.formats import load_format
from lifecycle.export.probe import Start
from lifecycle.report.benchmark import Benchmark, Measured
from lifecycle.report.candidates import Candidate, Options
from lifecycle.report.intervals import Bar, intervals_svg

START = Start(load_ms=1, first_ms=2, peak_mb=30, added_mb=4)


def row(name: str, times: tuple[float, ...], quality: float | None) -> Measured:
    middle = sorted(times)[len(times) // 2]
    artifact = Artifact(kind="bundle", path=Path(name), digest=name, parent=None, facts={})
    return Measured(
        candidate=Candidate(name=name, artifact=artifact, format=load_format("onnx"), threads=1),
        latency=Latency(
            median_ms=middle, low_ms=middle, high_ms=middle, p95_ms=middle, p99_ms=middle, times_ms=times
        ),
        ratio=(1, 1, 1),
        throughput=1000 / middle,
        start=START,
        size_bytes=10,
        quality=quality,
    )


DENSE = row("dense", (10.0,) * 60, 0.98)
SMALL = row("small", (4.0,) * 60, 0.975)
TINY = row("tiny", (1.0,) * 60, 0.90)


def test_the_fastest_that_keeps_the_quality_is_named() -> None:
    found = Benchmark(rows=(DENSE, SMALL, TINY), options=Options(max_drop=0.01), metric="test_acc")
    assert [found.keeps(each) for each in found.rows] == [True, True, False]
    assert found.fastest is SMALL
    expected = "The fastest of those whose test_acc is at most 0.01 worse: small, 1 thread, 4 ms."
    assert found.verdict() == expected
    assert [cells[-1] for cells in found.cost_table()] == ["yes", "yes", "NO"]


def test_less_may_be_better() -> None:
    worse = Benchmark(rows=(DENSE, SMALL), options=Options(max_drop=0.0, mode="max"), metric="test_acc")
    better = Benchmark(rows=(DENSE, SMALL), options=Options(max_drop=0.0, mode="min"), metric="test_loss")
    assert (worse.fastest, better.fastest) == (DENSE, SMALL)


def test_what_cannot_be_told_apart_is_said() -> None:
    same = row("same", (3.0, 5.0) * 30, 0.98)
    found = Benchmark(rows=(DENSE, same, SMALL), options=Options(), metric="test_acc")
    assert "not told apart from it: " in found.verdict()


def test_without_scores_the_verdict_says_so() -> None:
    rows = tuple(replace(each, quality=None) for each in (DENSE, TINY))
    verdict = Benchmark(rows=rows, options=Options()).verdict()
    assert verdict == "The fastest (nothing was scored: give --score pipeline.yaml): tiny, 1 thread, 1 ms."


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 0}, "batch is 0; expected at least 1"),
        ({"max_drop": -1}, "max_drop is -1; expected 0 or more"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Options(**options)


def test_a_plot_escapes_names_and_marks_the_chosen() -> None:
    bars = [
        Bar(label="a<b", value=2, low=1, high=3, chosen=True),
        Bar(label="c", value=4, low=3.5, high=5),
    ]
    svg = intervals_svg("T & U", "ms", bars)
    assert "a&lt;b" in svg and "T &amp; U" in svg
    assert svg.count("#2a7f62") == 1 and svg == intervals_svg("T & U", "ms", bars)
