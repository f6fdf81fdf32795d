from __future__ import annotations

import math

import pytest

from lifecycle.serve.batching.cost import Cost


def test_nothing_is_known_at_first() -> None:
    assert Cost().expected(1) == math.inf


def test_one_size_tells_nothing_of_others() -> None:
    cost = Cost()
    for _ in range(20):
        cost.observe(1, 0.01)
    assert cost.expected(1) == pytest.approx(0.01)
    assert cost.expected(32) == pytest.approx(0.01)


def test_a_line_is_learned_and_followed_when_it_moves() -> None:
    cost = Cost()
    for base, slope in ((0.002, 0.001), (0.001, 0.004)):
        for at in range(200):
            size = 1 + at % 7
            cost.observe(size, base + slope * size)
        assert cost.expected(20) == pytest.approx(base + 20 * slope, rel=0.01)
        assert cost.expected(20, runs=2) == pytest.approx(2 * base + 20 * slope, rel=0.01)


def test_what_a_batch_saves_is_what_is_done_once_for_it() -> None:
    assert Cost().gain == 1.0
    cost = Cost()
    for at in range(100):
        cost.observe(1 + at % 7, 0.003 + 0.001 * (1 + at % 7))
    assert cost.gain == pytest.approx(0.75, rel=0.01)
    for at in range(300):
        cost.observe(1 + at % 7, 0.001 * (1 + at % 7))
    assert cost.gain < 0.01
    for _ in range(100):  # still known when only one size is seen, and doubted in the end
        cost.observe(1, 0.001)
    assert cost.gain < 0.1
    assert cost.expected(10) == pytest.approx(0.01, rel=0.1)
    for _ in range(300):
        cost.observe(1, 0.001)
    assert cost.gain > 0.1


def test_a_single_run_that_was_held_up_moves_it_little() -> None:
    cost = Cost()
    for _ in range(50):
        cost.observe(1, 0.0001)
    cost.observe(1, 1.0)
    assert cost.expected(1) < 0.0002
    assert cost.undisturbed(1) < 0.00015


def test_on_a_busy_machine_the_undisturbed_time_still_shows() -> None:
    """Nine of ten runs take ten times as long as they need."""
    cost = Cost()
    for at in range(300):
        cost.observe(1, 0.0001 if at % 10 == 0 else 0.001)
    assert cost.expected(1) > 0.0003
    assert cost.undisturbed(1) < 0.00013
