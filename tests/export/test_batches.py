from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lifecycle.core.errors import UsageError
from lifecycle.core.signature import Signature
from lifecycle.export.batches import batches, check_samples, example, pick, random_inputs
from tests.export.networks import DIGITS, PAIR, images, pairs


def sizes(found: object) -> list[tuple[str, int]]:
    listed = list(found)
    assert all(len(batch.inputs["image"]) == batch.size for batch in listed)
    return [(batch.data, batch.size) for batch in listed]


def test_samples_as_far_as_they_go_and_random_data_of_every_size() -> None:
    random = [("random", size) for size in (1, 2, 7, 32)]
    random += [(edge, 2) for edge in ("zeros", "lowest", "highest")]
    assert sizes(batches(DIGITS, images(5))) == [("samples", size) for size in (1, 2, 5)] + random
    assert sizes(batches(DIGITS, images(1))) == [("samples", 1), *random]
    assert sizes(batches(DIGITS, images(99))) == [("samples", size) for size in (1, 2, 7, 32)] + random


def test_random_data_fills_the_range_and_is_the_same_each_time() -> None:
    first, again = (list(batches(DIGITS, images(5)))[-4].inputs["image"] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (first.min(), first.max(), first.dtype) == (0, 16, np.uint8)


def test_a_fixed_batch_is_left_whole() -> None:
    fixed = replace(DIGITS, inputs=(replace(DIGITS.inputs[0], shape=(4, 1, 8, 8)),))
    assert sizes(batches(fixed, images(4))) == [
        (data, 4) for data in ("samples", "random", "zeros", "lowest", "highest")
    ]


def lengths(signature: Signature, length: int) -> set[tuple[str, int, int]]:
    return {
        (batch.data, batch.size, batch.inputs["ids"].shape[1])
        for batch in batches(signature, pairs(3, length))
    }


def test_every_other_axis_is_varied_too() -> None:
    found = lengths(PAIR, 9)
    assert {size for data, _, size in found if data == "random"} == {1, 2, 7, 9}
    assert {size for data, _, size in found if data == "samples"} == {1, 2, 7, 9}
    assert {(data, 2, 9) for data in ("zeros", "lowest", "highest")} <= found


def test_limits_of_axes_are_reached_and_kept() -> None:
    limited = replace(PAIR, axes={"batch": (2, 5), "length": (3, 12)})
    found = lengths(limited, 9)
    assert {count for _, count, _ in found} == {2, 3, 5}  # three samples are all there are
    assert {size for _, _, size in found} == {3, 7, 9, 12}


def test_an_edge_outside_the_range_is_left_out() -> None:
    positive = replace(DIGITS, inputs=(replace(DIGITS.inputs[0], range=(1, 16)),))
    found = {batch.data: batch.inputs["image"] for batch in batches(positive, images(2))}
    assert "zeros" not in found
    assert (found["lowest"].max(), found["highest"].min()) == (1, 16)


def test_picking_follows_the_batch_axis_into_every_input() -> None:
    turned = replace(PAIR, inputs=(PAIR.inputs[0], replace(PAIR.inputs[1], shape=("length", "batch"))))
    given = pairs(4, 6)
    given["weights"] = given["weights"].T
    two = pick(turned, given, [0, -1])
    assert (two["ids"].shape, two["weights"].shape) == ((2, 6), (6, 2))


def test_samples_are_a_pool_whatever_the_limits_of_a_batch() -> None:
    limited = replace(DIGITS, axes={"batch": (3, 5)})
    check_samples(limited, images(40))
    assert {size for data, size in sizes(batches(limited, images(40))) if data == "samples"} == {3, 5}
    assert {size for data, size in sizes(batches(limited, images(2))) if data == "samples"} == {3}
    assert len(example(limited, images(2))["image"]) == 3
    assert len(example(DIGITS, images(40))["image"]) == 2
    assert len(random_inputs(limited, 1)["image"]) == 3
    assert len(random_inputs(limited, 64)["image"]) == 5
    with pytest.raises(UsageError, match="expected uint8, got float32"):
        check_samples(limited, {"image": images(40)["image"].astype("float32")})


def test_bytes_of_unknown_range_are_bytes() -> None:
    unknown = replace(DIGITS, inputs=(replace(DIGITS.inputs[0], range=None),))
    found = {batch.data: batch.inputs["image"] for batch in batches(unknown, images(2))}
    assert (found["random"].min(), found["random"].max()) == (0, 255)
    assert found["highest"].min() == 255
