from __future__ import annotations

import pytest

from lifecycle.core.errors import UsageError
from lifecycle.core.threshold import Threshold


def test_a_gate_without_a_threshold_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^a gate needs a threshold: min, max, max_drop or max_ratio$"):
        Threshold()


def test_a_drop_alone_is_no_threshold() -> None:
    with pytest.raises(
        UsageError, match=r"^max_drop needs min or max beside it: they say which way is better$"
    ):
        Threshold(max_drop=0.01)


@pytest.mark.parametrize(
    ("gate", "value", "champion", "verdicts"),
    [
        (Threshold(min=0.95), 0.95, None, [("acc", True)]),
        (Threshold(min=0.95), 0.94, None, [("acc", False)]),
        (Threshold(max=0.2), 0.3, None, [("acc", False)]),
        (Threshold(min=0.1, max=0.2), 0.15, 0.9, [("acc", True), ("acc", True)]),
        (Threshold(min=0.95, max_drop=0.01), 0.97, 0.99, [("acc", True), ("acc, drop from champion", False)]),
        (Threshold(min=0.95, max_drop=0.01), 0.985, 0.99, [("acc", True), ("acc, drop from champion", True)]),
        (Threshold(min=0.95, max_drop=0.01), 0.96, None, [("acc", True)]),  # no champion to compare with
        # With an upper limit alone, less is better.
        (Threshold(max=1.0, max_drop=0.1), 0.7, 0.5, [("acc", True), ("acc, drop from champion", False)]),
        (Threshold(max=1.0, max_drop=0.1), 0.3, 0.5, [("acc", True), ("acc, drop from champion", True)]),
    ],
)
def test_a_gate_judges_by_each_threshold(
    gate: Threshold, value: float, champion: float | None, verdicts: list[tuple[str, bool]]
) -> None:
    assert [(row.term, row.holds) for row in gate.judge("acc", value, champion)] == verdicts


def test_what_was_not_measured_is_refused() -> None:
    (row,) = Threshold(min=0.95, max_drop=0.01).judge("acc", None, 0.9)
    assert str(row) == "REFUSED  acc: not measured (allowed: min 0.95, max_drop 0.01)"


def test_a_gate_is_kept_as_the_limits_that_are_set() -> None:
    assert Threshold(min=0.0, max_drop=0.01).to_json() == {"min": 0.0, "max_drop": 0.01}


def test_a_ratio_is_for_what_should_be_small() -> None:
    [row] = Threshold(max_ratio=1.1).judge("latency_ms", 2.3, 2.0)
    assert str(row) == "REFUSED  latency_ms, ratio to champion: 1.15 (allowed: ≤ 1.1)"
    assert Threshold(max_ratio=1.1).judge("latency_ms", 2.3, None) == []
    with pytest.raises(
        UsageError, match=r"^max_ratio is 1\.1 beside a min; it is for a value that should be"
    ):
        Threshold(max_ratio=1.1, min=0.5)
    with pytest.raises(UsageError, match=r"^max_ratio is 0\.0; expected a number above 0$"):
        Threshold(max_ratio=0.0)
