from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from lifecycle.core.errors import UsageError
from lifecycle.core.signature import Array, Signature, TensorSpec, shape_text
from lifecycle.core.statistics import describe

IMAGE = TensorSpec(name="image", dtype="uint8", shape=("batch", 1, 8, 8), range=(0, 16))
AGE = TensorSpec(name="age", dtype="float32", shape=("batch",))
LOGITS = TensorSpec(name="logits", dtype="float32", shape=("batch", 10))
ONE = Signature(inputs=(IMAGE,), outputs=(LOGITS,), labels=tuple("0123456789"), task="classification")
TWO = Signature(inputs=(IMAGE, AGE), outputs=(LOGITS,))


def image(*shape: int, dtype: str = "uint8") -> Array:
    return np.zeros(shape, dtype)


@pytest.mark.parametrize("size", [1, 5])
def test_what_is_declared_passes(size: int) -> None:
    ONE.check({"image": image(size, 1, 8, 8)})
    TWO.check({"age": np.zeros(size, "float32"), "image": image(size, 1, 8, 8)})


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "input 'image' is missing; expected: image"),
        ({"image": image(1, 1, 8, 8), "x": image(1)}, "input 'x' is unknown; expected: image"),
        ({"image": image(1, 1, 8, 8, dtype="float32")}, "input 'image': expected uint8, got float32"),
        ({"image": image(1, 8, 8)}, "input 'image': expected shape [batch, 1, 8, 8], got [1, 8, 8]"),
        ({"image": image(1, 1, 8, 9)}, "input 'image': expected shape [batch, 1, 8, 8], got [1, 1, 8, 9]"),
        (
            {"image": image(1, 1, 8, 8, 1)},
            "input 'image': expected shape [batch, 1, 8, 8], got [1, 1, 8, 8, 1]",
        ),
        ({"image": image()}, "input 'image': expected shape [batch, 1, 8, 8], got []"),
        ({"image": image(0, 1, 8, 8)}, "input 'image': shape [0, 1, 8, 8] holds no elements"),
    ],
)
def test_anything_else_is_refused_with_what_is_expected(arrays: dict[str, Array], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        ONE.check(arrays)
    assert str(caught.value) == message


def test_dynamic_axes_of_one_name_have_one_size() -> None:
    with pytest.raises(UsageError, match=r"^input 'age': axis 'batch' is 3 here and 2 in another input$"):
        TWO.check({"image": image(2, 1, 8, 8), "age": np.zeros(3, "float32")})


def test_a_signature_survives_json() -> None:
    for signature in (ONE, TWO, Signature(inputs=(), outputs=())):
        assert Signature.from_json(json.loads(json.dumps(signature.to_json()))) == signature


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"inputs": [], "outputs": [], "labels": []},
        {"inputs": {}, "outputs": [], "labels": [], "task": ""},
        {"inputs": [3], "outputs": [], "labels": [], "task": ""},
        {"inputs": [{"name": "x", "dtype": "float33", "shape": []}], "outputs": [], "labels": [], "task": ""},
        {"inputs": [{"name": "x", "dtype": "float32"}], "outputs": [], "labels": [], "task": ""},
        {
            "inputs": [{"name": "x", "dtype": "float32", "shape": [], "range": [1]}],
            "outputs": [],
            "labels": [],
            "task": "",
        },
    ],
)
def test_what_is_no_signature_is_refused(content: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"^not a signature: "):
        Signature.from_json(content)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spec", "low", "high"),
    [
        (IMAGE, 0, 16),
        (TensorSpec(name="x", dtype="float32", shape=("n", 400), range=(-3, 2)), -3, 2),
        (TensorSpec(name="x", dtype="float64", shape=("n", 400)), 0, 1),
        (TensorSpec(name="x", dtype="int64", shape=("n", 400), range=(-5, -4)), -5, -4),
        (TensorSpec(name="x", dtype="bool", shape=("n", 400)), 0, 1),
    ],
)
def test_random_values_fill_the_range_and_fit_the_declaration(
    spec: TensorSpec, low: float, high: float
) -> None:
    values = spec.random(np.random.default_rng(0), batch=50, n=50)
    spec.check(values)
    assert values.shape[0] == 50
    assert low <= values.min() < low + 0.1 * (high - low)
    assert high - 0.1 * (high - low) < values.max() <= high


def test_random_values_follow_the_generator() -> None:
    first, second = (IMAGE.random(np.random.default_rng(seed), batch=4) for seed in (1, 1))
    assert (first == second).all()
    assert (first != IMAGE.random(np.random.default_rng(2), batch=4)).any()


def test_a_shape_reads_as_people_write_it() -> None:
    assert shape_text(("batch", 3)) == "[batch, 3]"


def test_limits_of_axes_are_kept_and_survive_json() -> None:
    limited = replace(ONE, axes={"batch": (2, 4)}, licence="MIT", statistics={"image": describe(image(3, 2))})
    assert Signature.from_json(json.loads(json.dumps(limited.to_json()))) == limited
    limited.check({"image": image(4, 1, 8, 8)})
    for size in (1, 5):
        with pytest.raises(
            UsageError, match=rf"^input 'image': axis 'batch' is {size}; this model takes 2 to 4$"
        ):
            limited.check({"image": image(size, 1, 8, 8)})


def test_what_was_written_before_there_were_limits_is_read() -> None:
    assert set(ONE.to_json()) == {"inputs", "outputs", "labels", "task"}


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"batches": (1, 4)}, "axes: no input has an axis 'batches': did you mean 'batch'?"),
        ({"batch": (0, 4)}, "axes: 'batch' is from 0 to 4; expected 1 <= least < greatest"),
        ({"batch": (4, 4)}, "axes: 'batch' is from 4 to 4; expected 1 <= least < greatest"),
    ],
)
def test_limits_that_are_none_are_refused(axes: dict[str, tuple[int, int]], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        replace(ONE, axes=axes)


@pytest.mark.parametrize(
    "more",
    [{"axes": [1]}, {"axes": {"batch": [1]}}, {"axes": {"batch": ["1", 2]}}, {"statistics": {"image": 3}}],
)
def test_limits_and_statistics_of_another_type_are_refused(more: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"^not a signature: "):
        Signature.from_json(ONE.to_json() | more)  # type: ignore[arg-type]
