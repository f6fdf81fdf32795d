from __future__ import annotations

import pytest

from lifecycle.compress.rollback import Attempt, refusal, search_in_budget
from lifecycle.core.errors import RefusedError
from lifecycle.core.verdict import at_most, require


def attempting(least: float) -> tuple[list[float], object]:
    """Attempts that hold down to a value, and what was asked of them."""
    asked: list[float] = []

    def attempt(value: float, held: Attempt[float] | None) -> Attempt[float]:
        asked.append(value)
        drop = 0.0 if value >= least else 1.0
        return Attempt(
            value=value,
            achieved=0.98 * value,
            measured={"val_acc": 1 - drop},
            rows=[at_most("drop of val_acc", drop, 0.5)],
            result=0.0 if held is None else held.value,
        )

    return asked, attempt


def test_a_goal_that_holds_is_taken_at_once() -> None:
    asked, attempt = attempting(0.1)
    best, _ = search_in_budget(attempt, [0.25], start=1, tries=4)
    assert best is not None and best.value == 0.25 and asked == [0.25]


def test_what_breaks_the_budget_is_tried_smaller_from_what_held() -> None:
    asked, attempt = attempting(0.4)
    best, made = search_in_budget(attempt, [0.5, 0.25], start=1, tries=4)
    assert best is not None and 0.4 <= best.value < 0.45
    assert asked[:3] == [0.5, 0.25, pytest.approx((0.98 * 0.5 * 0.25) ** 0.5)]
    assert made[0].result == 0.0 and made[1].result == 0.5, "tried from the one that held"
    assert sum(not each.holds for each in made) <= 4


def test_tries_end_it() -> None:
    asked, attempt = attempting(0.99)
    best, _ = search_in_budget(attempt, [0.1], start=1, tries=3)
    assert best is None and len(asked) == 3 and asked == sorted(asked)


def test_nothing_above_what_the_budget_allows_is_tried() -> None:
    asked, attempt = attempting(0.9)
    assert search_in_budget(attempt, [0.25], start=0.25, tries=9)[0] is None
    assert asked == [0.25]


def test_the_refusal_has_the_table_of_what_was_tried() -> None:
    _, attempt = attempting(0.9)
    _, made = search_in_budget(attempt, [0.5], start=1, tries=2)
    error = refusal(made, "nothing held", "try more")
    assert isinstance(error, RefusedError) and error.exit_code == 3
    assert "to 0.5, reached 0.49" in error.message and "to 0.7071" in error.message
    assert error.message.count("REFUSED  drop of val_acc: 1") == 2
    with pytest.raises(RefusedError):
        require(made[0].rows, "alone")
