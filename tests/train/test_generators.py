from __future__ import annotations

import io
import random
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from lifecycle.train.generators import generators, restore_states, states

MADE: list[Any] = [
    lambda: torch.Generator().manual_seed(3),
    lambda: random.Random(3),
    lambda: np.random.RandomState(3),
    lambda: np.random.Generator(np.random.PCG64(3)),
    lambda: np.random.Generator(np.random.PCG64DXSM(3)),
    lambda: np.random.Generator(np.random.MT19937(3)),
    lambda: np.random.Generator(np.random.Philox(3)),
    lambda: np.random.Generator(np.random.SFC64(3)),
]


def draws(generator: Any) -> list[float]:
    if isinstance(generator, torch.Generator):
        return torch.randn(3, generator=generator).tolist()  # type: ignore[no-any-return]
    if isinstance(generator, random.Random):
        return [generator.gauss(0, 1), generator.random()]
    return [float(value) for value in generator.normal(size=3)]


@pytest.mark.parametrize("make", MADE)
def test_a_state_comes_back_out_of_a_checkpoint(make: Any) -> None:
    found = generators(own=make())
    assert list(found) == ["own"]
    draws(found["own"])
    buffer = io.BytesIO()
    torch.save(states(found), buffer)
    buffer.seek(0)
    expected = draws(found["own"])
    other = generators(own=make())
    restore_states(other, torch.load(buffer, weights_only=True))
    assert draws(other["own"]) == expected
    restore_states(other, {})  # nothing was kept


GLOBAL = np.random.default_rng(1)
UNUSED = np.random.default_rng(2)


def augment() -> float:
    return float(GLOBAL.random())


class Transform:
    def __init__(self) -> None:
        self.rng = random.Random(1)
        self.table = {"deep": [torch.Generator()]}

    def __call__(self) -> list[float]:
        return [augment() for _ in range(2)]


class Data:
    def __init__(self) -> None:
        self.transform = Transform()
        self.again = self.transform.rng
        self.images = [object()] * 5000
        self.itself = self


def test_generators_are_found_where_they_are() -> None:
    data = Data()
    inner = np.random.RandomState(1)
    functions = [lambda: inner.rand(), partial(augment), data.transform.__call__]
    found = generators(dataset=data, functions=functions)
    assert found == {
        "dataset.again": data.again,
        "dataset.transform.table['deep'][0]": data.transform.table["deep"][0],
        "inner": inner,
        "GLOBAL": GLOBAL,
    }
    assert generators(dataset=data, without=[data]) == {}


def test_the_generators_of_the_process_are_nobodys_own() -> None:
    shared = [torch.default_generator, np.random.mtrand._rand, random.seed.__self__]  # type: ignore[attr-defined]
    assert generators(shared=shared, module=random, number=3, system=random.SystemRandom()) == {}
