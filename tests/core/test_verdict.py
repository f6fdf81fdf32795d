from __future__ import annotations

import pytest

from lifecycle.core.errors import RefusedError
from lifecycle.core.verdict import Row, at_least, at_most, require


@pytest.mark.parametrize(
    ("row", "holds"),
    [
        (at_most("macs", 0.25, 0.25), True),
        (at_most("macs", 0.1 + 0.2, 0.3), True),  # a hair above, for the sum is 0.30000000000000004
        (at_most("macs", 0.251, 0.25), False),
        (at_least("acc", 0.95, 0.95), True),
        (at_least("acc", 1 - 0.05, 0.95), True),
        (at_least("acc", 0.949, 0.95), False),
        (at_most("loss", float("nan"), 1.0), False),
        (at_least("acc", float("nan"), 0.0), False),
    ],
)
def test_a_limit_itself_is_allowed_and_nothing_beyond_it(row: Row, holds: bool) -> None:
    assert row.holds is holds


def test_a_row_says_what_was_measured_and_what_is_allowed() -> None:
    assert str(at_most("macs", 0.31234, 0.25)) == "REFUSED  macs: 0.3123 (allowed: ≤ 0.25)"
    assert str(at_least("acc", 0.97, 0.95)) == "ok       acc: 0.97 (allowed: ≥ 0.95)"


def test_a_row_is_plain_data_too() -> None:
    assert at_least("acc", 0.97, 0.95).to_json() == {
        "term": "acc",
        "measured": "0.97",
        "limit": "≥ 0.95",
        "holds": True,
    }


def test_require_names_only_the_rows_that_failed() -> None:
    rows = [at_least("acc", 0.97, 0.95), at_most("macs", 0.5, 0.25), at_most("size_mb", 2, 1)]
    with pytest.raises(RefusedError) as caught:
        require(rows, "prune: outside the budget", hint="More epochs.")
    assert str(caught.value) == (
        "prune: outside the budget:\n"
        "  REFUSED  macs: 0.5 (allowed: ≤ 0.25)\n"
        "  REFUSED  size_mb: 2 (allowed: ≤ 1)\n"
        "More epochs."
    )


def test_require_lets_pass_what_holds() -> None:
    require([at_least("acc", 0.97, 0.95)], "promote")
    require([], "promote")
