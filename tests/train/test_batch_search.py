from __future__ import annotations

from typing import Any

import pytest
import torch

from lifecycle.core.errors import UsageError
from lifecycle.train.batch_search import BatchSearch, is_out_of_memory


@pytest.mark.parametrize(
    ("options", "samples", "limit", "tried", "found"),
    [
        ({}, None, 50, [2, 4, 8, 16, 32, 64], 32),
        ({"first": 5}, None, 50, [5, 10, 20, 40, 80], 40),
        ({"first": 64}, None, 50, [64, 32], 32),  # what failed once is not tried again
        ({"max_trials": 3}, None, 50, [2, 4, 8], 8),
        ({"most": 20}, None, 50, [2, 4, 8, 16, 20], 20),
        ({"first": 64, "most": 20}, None, 50, [20], 20),
        ({}, 30, 50, [2, 4, 8, 16, 32], 32),  # a batch holds them all
        ({"mode": "binsearch", "margin": 0.0}, None, 50, [2, 4, 8, 16, 32, 64, 48, 56, 52, 50, 51], 50),
        ({"mode": "binsearch"}, None, 50, [2, 4, 8, 16, 32, 64, 48, 56, 52, 50, 51], 47),
        ({"mode": "binsearch", "first": 64, "margin": 0.1}, None, 50, [64, 32, 48, 56, 52, 50, 51], 45),
        ({"mode": "binsearch", "max_trials": 2}, None, 50, [2, 4], 3),
        ({"mode": "binsearch", "first": 8, "margin": 0.5}, None, 1, [8, 4, 2, 1], 1),
    ],
)
def test_which_sizes_are_tried(
    options: dict[str, Any], samples: int | None, limit: int, tried: list[int], found: int
) -> None:
    seen: list[int] = []

    def fits(size: int) -> bool:
        seen.append(size)
        return size <= limit

    assert BatchSearch(**options).run(fits, samples) == found
    assert seen == tried


@pytest.mark.parametrize("mode", ["power", "binsearch"])
def test_when_nothing_fits_there_is_no_size(mode: str) -> None:
    with pytest.raises(UsageError, match="not even a batch of one sample"):
        BatchSearch(mode=mode).run(lambda size: False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "linear"}, "no mode 'linear': did you mean 'binsearch'|no mode 'linear': allowed"),
        ({"margin": 1.0}, r"margin=1.0: expected a fraction from 0.0, below 1.0"),
        ({"first": 0}, "init_val=0"),
        ({"max_trials": 0}, "max_trials=0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        BatchSearch(**options)


def test_memory_that_does_not_suffice_is_recognised() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 62, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    assert is_out_of_memory(RuntimeError("CUDA error: out of memory"))
    assert is_out_of_memory(MemoryError())


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        ValueError("CUDA out of memory"),
        KeyError("out of memory"),
    ],
)
def test_other_errors_are_not(error: Exception) -> None:
    assert not is_out_of_memory(error)
