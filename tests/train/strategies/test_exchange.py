from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
import torch

from lifecycle.core.errors import UsageError
from lifecycle.train.strategies.exchange import checked, packed, unpacked
from tests.train.small import same

SOME: list[Any] = [
    None,
    "text with ü and \0",
    [1, True, 2.5, 10**30],
    0.1 + 0.2,
    float("inf"),
    {"key": [], "nested": {"loss": torch.tensor(1 / 3), "wide": torch.tensor(1 / 3, dtype=torch.float64)}},
    {"\0tensor": ["torch.float32", 1.0]},
    {1: "a number as key"},
    (1, 2),
    [(1, "a tuple")],
    torch.arange(6).reshape(2, 3),
    torch.tensor(3),
    torch.tensor(1.5, dtype=torch.bfloat16),
    {"weights": torch.arange(8.0).view(4, 2) / 3, "step": 3},
    OrderedDict(a=1),
]


@pytest.mark.parametrize("value", SOME, ids=repr)
def test_what_goes_from_one_process_to_another_arrives_as_it_was(value: Any) -> None:
    found = unpacked(packed(value))
    assert type(found) is type(value)
    assert same(found, value)


def test_what_is_not_finite_arrives_too() -> None:
    found = unpacked(packed({"loss": torch.tensor(float("nan")), "least": float("-inf")}))
    assert found["loss"].isnan() and found["least"] == float("-inf")


def test_what_would_need_unpickling_is_refused() -> None:
    with pytest.raises(UsageError, match="a Refused cannot go from one process to another"):
        checked(Refused())


class Refused:
    pass
