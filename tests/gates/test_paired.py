from __future__ import annotations

import numpy as np
import pytest

from lifecycle.gates.paired import paired


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Two files of equal accuracy on 200 drawn samples, 60 times: 95 % of the intervals hold 0."""
    generator = np.random.default_rng(1)
    covered = sure = 0
    for _ in range(60):
        one, other = (generator.random(200) < 0.9).astype(float), (generator.random(200) < 0.9).astype(float)
        found = paired(one, other)
        covered += found.low <= 0 <= found.high
        sure += found.says(less_is_better=False) != "no difference beyond noise"
    assert 52 <= covered <= 60 and sure <= 8


def test_mcnemar_looks_at_the_pairs_that_differ() -> None:
    """Nine pairs won and one lost: two-sided exact binomial, 22 / 1024."""
    both = np.ones(90)
    one, other = np.r_[both, np.ones(9), 0.0], np.r_[both, np.zeros(9), 1.0]
    assert paired(one, other).p == pytest.approx(22 / 1024)
    assert paired(one, one).p == 1.0
    assert paired(one * 0.5, other).p is None, "losses are neither right nor wrong"


def test_less_is_better_for_losses() -> None:
    generator = np.random.default_rng(2)
    other = generator.random(100)
    found = paired(other - 0.1, other)
    assert found.says(less_is_better=True) == "better" and found.says(less_is_better=False) == "worse"
    assert str(found) == "-0.1 [-0.1, -0.1] on 100 samples"


def test_batches_weigh_by_their_samples() -> None:
    found = paired(np.array([1.0, 0.0]), np.array([0.0, 0.0]), np.array([30.0, 10.0]))
    assert (found.difference, found.unit, found.p) == (0.75, "batches", None)
