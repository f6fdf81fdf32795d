from __future__ import annotations

from dataclasses import replace

import numpy as np

from lifecycle.export.batches import batches, pick
from tests.export.networks import DIGITS, PAIR, images, pairs


def sizes(found: object) -> list[tuple[str, int]]:
    listed = list(found)
    assert all(len(batch.inputs["image"]) == batch.size for batch in listed)
    return [(batch.data, batch.size) for batch in listed]


def test_samples_as_far_as_they_go_and_random_data_of_every_size() -> None:
    random = [("random", size) for size in (1, 2, 7, 32)]
    assert sizes(batches(DIGITS, images(5))) == [("samples", size) for size in (1, 2, 5)] + random
    assert sizes(batches(DIGITS, images(1))) == [("samples", 1), *random]
    assert sizes(batches(DIGITS, images(99))) == [("samples", size) for size in (1, 2, 7, 32)] + random


def test_random_data_fills_the_range_and_is_the_same_each_time() -> None:
    first, again = (list(batches(DIGITS, images(5)))[-1].inputs["image"] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (first.min(), first.max(), first.dtype) == (0, 16, np.uint8)


def test_a_fixed_batch_is_left_whole() -> None:
    fixed = replace(DIGITS, inputs=(replace(DIGITS.inputs[0], shape=(4, 1, 8, 8)),))
    assert sizes(batches(fixed, images(4))) == [("samples", 4), ("random", 4)]


def test_other_axes_are_as_long_as_in_the_samples() -> None:
    assert {batch.inputs["ids"].shape[1] for batch in batches(PAIR, pairs(3, 9))} == {9}


def test_picking_follows_the_batch_axis_into_every_input() -> None:
    turned = replace(PAIR, inputs=(PAIR.inputs[0], replace(PAIR.inputs[1], shape=("length", "batch"))))
    given = pairs(4, 6)
    given["weights"] = given["weights"].T
    two = pick(turned, given, [0, -1])
    assert (two["ids"].shape, two["weights"].shape) == ((2, 6), (6, 2))
