"""The committed results: whole, with every aim that was set, and what the pages show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.figures.pages import outside, render_page
from benchmarks.figures.results import parse_results, render_results
from benchmarks.figures.suite import SUITE

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "benchmarks" / "results.json").read_text(encoding="utf-8")
RESULTS = parse_results(TEXT)
FENCE = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
# A ratio, an interval, or a number with a unit of time, rate, size or accuracy.
MEASURED = re.compile(
    r"× \d[\d.,]*|[−+]?\d[\d.,]* ?(?:µs|ms|s|/s|requests|points|calls|times|kB|MB)\b|\[[−+]?\d[\d.]*, [−+]?\d[\d.]*\]"
)
# What was aimed at before anything was measured: benchmark, start of the table, start of the row, sign, limit.
AIMS = [
    ("trainer", "function calls a step", "bare, no `self.log`", "<=", 60),
    ("trainer", "function calls a step", "bare, one `self.log`", "<=", 60),
    ("trainer", "calls for a `self.log`", "the first", "<=", 40),
    ("trainer", "calls for a `self.log`", "each of nine more", "<=", 40),
    ("trainer", "time of a step", "micro model", "<=", 1.15),
    ("trainer", "time of a step", "5 ms a step", "<=", 1.01),
    ("trainer", "overhead, times less", "micro model", ">=", 10),
    ("trainer", "overhead, times less", "5 ms a step", ">=", 10),
    ("trainer", "peak tensor memory", "5 ms a step", "<=", 1.01),
    ("trainer", "`import lifecycle`", "loads no torch", ">=", 1),
    ("gpu", "host synchronisations a step", "micro model", "<=", 0),
    ("gpu", "peak memory of the device", "ResNet-50", "<=", 1.01),
    ("scale", "time of a step", "two processes", "<=", 1.03),
    ("scale-gpu", "time of a step", "ResNet-50, `single_device`", "<=", 1.01),
    ("scale-gpu", "peak memory of the device", "ResNet-50, `single_device`", "<=", 1.01),
    ("scale-gpu", "time of a step", "ResNet-50, `ddp`", "<=", 1.01),
    ("scale-gpu", "peak memory of the device", "ResNet-50, `ddp`", "<=", 1.01),
    ("scale-gpu", "host synchronisations a step", "`single_device`", "<=", 0),
    ("accuracy", "points of accuracy lost, mean of 5 seeds", "25 %", "<=", 0.4),
    ("accuracy", "points of accuracy lost, mean of 5 seeds", "10 %", "<=", 0.8),
    ("accuracy", "points of accuracy lost, mean of 5 seeds", "5 %", "<=", 1.5),
    ("compress", "pruned and INT8, times faster than eager", "ResNet-18, 25 % of the MACs, batch 1", ">=", 15),
    ("compress", "pruned and INT8, times faster than dense", "ResNet-18, 25 % of the MACs, batch 1", ">=", 8),
    ("compress", "pruned and INT8, times smaller", "ResNet-18, 25 % of the MACs", ">=", 14),
    ("compress", "static quantization's time", "ResNet-18, 25 % of the MACs, batch 1", ">=", 1),
    ("export", "added to a call", "one input", "<=", 10),
    ("export", "added to a call", "three inputs", "<=", 10),
    *(("serve", "rate at 16", f"BentoML's `@api(batchable=True)`, {case}", ">=", 5) for case in ("JSON 1", "JSON 3")),
    *(("serve", "rate at 16", f"FastAPI, pydantic and ONNX Runtime, {case}", ">=", 1.8) for case in ("JSON 1", "JSON 3")),
    *(
        ("serve", "rate at 16", f"a bare Starlette app with our batcher, {case}", ">=", 0.9)
        for case in ("JSON 1", "JSON 3", "bytes 3")
    ),
    ("serve", "rate at 16", "the same image as JSON, bytes 3", ">=", 20),
    *(("serve", "answers that are not 2xx", case, "<=", 0) for case in ("JSON 1", "JSON 3", "bytes 3")),
    *(
        ("serve", "a single request, later", f"a bare Starlette app with our batcher, {case}", "<=", 0.2)
        for case in ("JSON 1", "JSON 3", "bytes 3")
    ),
    ("pipeline", "own cost", "of the stages by hand", "<=", 2),
    ("pipeline", "what people wait for", "cached run", "<=", 4),
    ("pipeline", "what people wait for", "plan", "<=", 1),
    ("pipeline", "what people wait for", "--help", "<=", 0.3),
    ("overload", "wrong answers", "neither 200 nor 429", "<=", 0),
]  # fmt: skip


def test_the_file_is_canonical_and_holds_every_benchmark() -> None:
    assert render_results(RESULTS) == TEXT
    assert set(RESULTS) == {benchmark.name for benchmark in SUITE}
    for name, result in RESULTS.items():
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", result.date), name
        assert result.figures and result.machine.cores >= 1 and "python" in result.versions, name
        if result.state == "measured":
            assert result.seconds and result.machine.load is not None, name


@pytest.mark.parametrize(("benchmark", "table", "row", "sign", "limit"), AIMS)
def test_every_aim_is_there_and_judged(benchmark: str, table: str, row: str, sign: str, limit: float) -> None:
    figures = [
        figure
        for figure in RESULTS[benchmark].figures
        if figure.bar is not None and figure.table.startswith(table) and figure.row.startswith(row)
    ]
    if not figures:  # what was recorded earlier may lack it, and then says so
        assert RESULTS[benchmark].state == "recorded" and "has not been measured" in RESULTS[benchmark].note
        return
    assert [(one.bar.sign, one.bar.limit) for one in figures if one.bar] == [(sign, limit)]
    assert figures[0].holds in (True, False)


@pytest.mark.parametrize("page", ["README.md", "docs/performance.md"])
def test_a_page_shows_the_committed_results(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert render_page(text, RESULTS) == text, (
        f"{page} is behind results.json: python benchmarks/run.py --pages"
    )
    assert outside(text) != text


def test_the_readme_states_no_measured_figure_of_its_own() -> None:
    prose = FENCE.sub("", outside((ROOT / "README.md").read_text(encoding="utf-8")))
    assert MEASURED.findall(prose) == [], "figures stand between the markers, where `make bench` writes them"


@pytest.mark.parametrize(
    "text", ["× 1.29", "5.1 ms", "1,500/s", "0.15 points", "[1.25, 1.38]", "15 times", "4.6 s"]
)
def test_a_measured_figure_would_be_seen(text: str) -> None:
    assert MEASURED.search(f"A step takes {text} there.")
