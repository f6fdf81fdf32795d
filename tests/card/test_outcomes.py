from __future__ import annotations

import pytest

from lifecycle.card.outcomes import Outcomes, read_outcomes, wilson


def test_an_interval_is_where_wilsons_formula_puts_it() -> None:
    z2 = 1.959964**2
    assert wilson(0, 10) == pytest.approx((0, z2 / (10 + z2)))  # in closed form at the ends
    assert wilson(10, 10) == pytest.approx((10 / (10 + z2), 1))
    assert wilson(95, 100) == pytest.approx((0.8882496, 0.9784600), abs=1e-5)


def test_right_and_wrong_are_counted_by_class() -> None:
    found = Outcomes(targets=(0, 0, 1, 2), predictions=(0, 1, 1, 0))
    assert (found.right, found.accuracy) == (2, 0.5)
    assert found.matrix(3) == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert found.is_accuracy(0.5) and not found.is_accuracy(0.51)


def test_without_a_target_for_each_sample_nothing_is_said() -> None:
    assert read_outcomes({"compressed": [1, 2]}, "compressed") is None
    assert read_outcomes({"compressed": [1, 2], "targets": [1]}, "compressed") is None
    assert read_outcomes({"compressed": [], "targets": []}, "compressed") is None
    whole = read_outcomes({"compressed": [1, 2], "targets": [1, 1]}, "compressed")
    assert whole == Outcomes(targets=(1, 1), predictions=(1, 2))
