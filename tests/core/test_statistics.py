from __future__ import annotations

import json

import numpy as np
import pytest

from lifecycle.core.errors import UsageError
from lifecycle.core.statistics import Statistics, describe


def test_numbers_of_all_elements() -> None:
    found = describe(np.arange(101, dtype=np.uint8).reshape(101, 1))
    assert (found.samples, found.mean, found.min, found.max) == (101, 50, 0, 100)
    assert found.quantiles == (5, 25, 50, 75, 95)
    assert found.std == pytest.approx(np.arange(101).std(), rel=1e-5)


def test_the_order_of_samples_makes_no_difference() -> None:
    values = np.random.default_rng(0).normal(size=(500, 7)).astype(np.float32)
    assert describe(values) == describe(values[::-1])


def test_they_survive_json() -> None:
    found = describe(np.eye(3))
    assert Statistics.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_something_else_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^not statistics of an input: "):
        Statistics.from_json({"mean": 1})
