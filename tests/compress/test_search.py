from __future__ import annotations

import pytest

from lifecycle.compress.search import Trial, all_trials, pareto_front
from lifecycle.core.errors import UsageError


def test_every_combination_stands_once_and_the_cheapest_first() -> None:
    found = all_trials([1, 0.5], ["taylor", "magnitude"], ["qat", "none"])
    assert [trial.name for trial in found] == [
        "dense",
        "macs 0.5, magnitude",
        "macs 0.5, taylor",
        "dense, qat",
        "macs 0.5, magnitude, qat",
        "macs 0.5, taylor, qat",
    ]


def test_nothing_on_the_front_is_beaten_and_everything_off_it_is() -> None:
    points = [(0.01, 3.0, 10.0), (0.02, 1.0, 10.0), (0.02, 1.0, 11.0), (0.03, 2.0, 5.0), (0.03, 4.0, 12.0)]
    assert pareto_front(points) == [0, 1, 3]


def test_values_that_cannot_be_searched_are_refused() -> None:
    with pytest.raises(UsageError, match="macs: expected fractions above 0 and up to 1"):
        all_trials([1.5], ["lamp"], ["none"])
    with pytest.raises(UsageError, match="importance: expected at least one value"):
        all_trials([0.5], [], ["none"])
    assert Trial(macs=1, importance="", quantization="static").name == "dense, static"
