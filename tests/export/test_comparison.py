from __future__ import annotations

import math
from dataclasses import replace

from lifecycle.core.canonical import canonical_json
from lifecycle.export.comparison import Comparison, Row, rounded_up
from lifecycle.export.tolerance import FLOAT, INTEGER_KERNELS, INTEGERS_AS_WRITTEN


def row(batch: int, max_error: float, mean_error: float, holds: bool = True) -> Row:
    return Row(
        data="samples",
        batch=batch,
        axes={},
        output="y",
        max_error=max_error,
        mean_error=mean_error,
        top1=0.9,
        holds=holds,
    )


def test_one_value_on_an_edge_is_no_mistake() -> None:
    rows = (row(1, 0.004, 0.002), row(32, 0.0, 0.0))
    comparison = Comparison(format="onnx", run="as written", tolerance=INTEGERS_AS_WRITTEN, rows=rows)
    assert comparison.holds
    assert 0.00006 <= comparison.mean_errors["y"] <= 0.00007


def test_a_small_error_everywhere_is_one() -> None:
    rows = (row(1, 0.004, 0.002), row(32, 0.004, 0.002))
    comparison = Comparison(format="onnx", run="as written", tolerance=INTEGERS_AS_WRITTEN, rows=rows)
    assert not comparison.holds
    assert comparison.refusal() == (
        "the onnx file, as written, differs from the module: output 'y' is off by 0.002 of its range on "
        "average (allowed 0.001)"
    )


def test_refusal_names_output_figure_and_limit() -> None:
    comparison = Comparison(
        format="onnx", run="as run", tolerance=FLOAT, rows=(row(7, 0.5, 0.1, holds=False),)
    )
    assert comparison.refusal() == (
        "the onnx file, as run, differs from the module: output 'y' on 7 of samples is off by 0.5 of its "
        "range (allowed 0.0001)"
    )


def test_refusal_names_classes_that_are_no_ties() -> None:
    comparison = Comparison(format="onnx", run="as run", tolerance=FLOAT, rows=(row(10, 0, 0, holds=False),))
    assert "names another class than the module, by more than a tie (0.0001 of its range), in 0.1 of the" in (
        comparison.refusal()
    )


def test_figures_do_not_follow_the_last_bit() -> None:
    assert rounded_up(3.1e-7, 1e-4) == rounded_up(3.2e-7, 1e-4) == 1e-6
    assert rounded_up(0.0, 1e-4) == 0.0
    assert rounded_up(math.nan, 1e-4) == math.inf


def test_report_is_plain_data() -> None:
    comparison = Comparison(format="onnx", run="as run", tolerance=FLOAT, rows=(row(7, 1e-6, 1e-7),))
    assert b'"max_error":0.0001' in canonical_json(comparison.to_json())


def test_integers_are_right_or_wrong_and_few_may_flip() -> None:
    rows = (replace(row(1, 1.0, 1.0), discrete=True), replace(row(99, 0.0, 0.0), discrete=True))
    comparison = Comparison(format="onnx", run="as run", tolerance=INTEGER_KERNELS, rows=rows)
    assert comparison.holds
    exact = replace(comparison, tolerance=FLOAT)
    assert not exact.holds
    assert exact.refusal() == (
        "the onnx file, as run, differs from the module: 0.01 of the values of 'y' are others (allowed 0)"
    )
    (shown,) = exact.table()
    assert shown[4:8] == ["1", "", "1", "0"]
