from __future__ import annotations

from typing import Any

import pytest

from lifecycle.core.errors import UsageError
from lifecycle.train.limits import limited


@pytest.mark.parametrize(
    ("length", "limit", "count"),
    [
        (10, 1.0, 10),
        (10, 1, 1),
        (10, 0, 0),
        (10, 0.0, 0),
        (10, 99, 10),
        (10, 0.25, 2),
        (10, 0.99, 9),
        (0, 0.5, 0),
        (None, 1.0, None),
        (None, 3, 3),
    ],
)
def test_a_limit_is_a_number_of_batches_or_a_fraction_of_them(length: Any, limit: Any, count: Any) -> None:
    assert limited(length, limit, "train") == count


def test_a_fraction_of_an_unknown_number_is_refused() -> None:
    with pytest.raises(
        UsageError,
        match=r"^limit_val_batches=0.5 is a fraction, and the val loader has no length: give a whole number",
    ):
        limited(None, 0.5, "val")


def test_a_fraction_of_less_than_a_batch_is_refused() -> None:
    with pytest.raises(
        UsageError,
        match=r"^limit_test_batches=0.1 of 9 batches is less than one: give a fraction of at least 1/9",
    ):
        limited(9, 0.1, "test")
