from __future__ import annotations

import logging
import random

import numpy as np
import pytest
import torch

import lifecycle as pl
from lifecycle.core.errors import UsageError
from lifecycle.train.seeding import mix, seed_batch


@pytest.fixture(autouse=True)
def no_seed_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        monkeypatch.setenv(name, "")  # put back in the end, whatever is set meanwhile
        monkeypatch.delenv(name)


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), torch.rand(1).item()


def test_a_seed_decides_all_three_generators() -> None:
    pl.seed_everything(3)
    first = draw()
    pl.seed_everything(3)
    assert draw() == first
    pl.seed_everything(4)
    assert all(other != value for other, value in zip(draw(), first, strict=True))


def test_a_batch_decides_all_three_generators() -> None:
    draws = {}
    for place in [(7, 0, 0), (7, 0, 1), (7, 1, 0), (7, 0, -1), (8, 0, 0)]:
        seed_batch(*place)
        draws[place] = draw()
        draw()
        seed_batch(*place)
        assert draw() == draws[place]
    for values in zip(*draws.values(), strict=True):
        assert len(set(values)) == len(draws)


def test_neighbouring_places_share_no_seed() -> None:
    places = [(seed, epoch, index) for seed in range(5) for epoch in range(20) for index in range(-1, 100)]
    seeds = {mix(*place) for place in places}
    assert len(seeds) == len(places)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_large_and_negative_seeds_are_taken() -> None:
    for seed in (2**63 - 1, 2**32 + 1):
        pl.seed_everything(seed)
        seed_batch(seed, 10**9, 10**9)


def test_a_batch_forgets_the_second_of_two_normal_numbers() -> None:
    seed_batch(7, 0, 0)
    expected = random.gauss(0, 1), np.random.normal()
    random.gauss(0, 1)  # they come in pairs
    np.random.normal()
    np.random.normal()
    seed_batch(7, 0, 0)
    assert (random.gauss(0, 1), np.random.normal()) == expected


def test_what_is_drawn_for_a_batch_never_changes() -> None:
    """Checkpoints made before go on to the bit."""
    seed_batch(7, 3, 12)
    assert mix(7, 3, 12) == 7527952033999345533
    assert draw() == (0.26764351722750346, 0.6627425568841806, 0.6620956659317017)


def test_the_seed_may_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert pl.seed_everything(11, workers=True) == 11
    assert caplog.messages == ["seed: 11"]
    first = draw()
    assert pl.seed_everything(verbose=False) == 11  # it is there for processes started from here
    assert draw() == first
    assert len(caplog.messages) == 1
    monkeypatch.delenv("PL_GLOBAL_SEED")
    with pytest.warns(UserWarning, match=r"^seed_everything\(\) was given no seed, so it is 0$"):
        assert pl.seed_everything() == 0
    monkeypatch.setenv("PL_GLOBAL_SEED", "many")
    with pytest.raises(
        UsageError, match=r"^PL_GLOBAL_SEED='many' in the environment: expected a whole number$"
    ):
        pl.seed_everything()
    assert pl.seed_everything("12") == 12  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"^seed_everything\('x'\): expected a whole number$"):
        pl.seed_everything("x")  # type: ignore[arg-type]
