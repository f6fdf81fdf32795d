from __future__ import annotations

import random

import numpy as np
import torch

import lifecycle as pl
from lifecycle.train.seeding import mix, seed_batch


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
