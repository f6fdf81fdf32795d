from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lifecycle.core.errors import UsageError
from lifecycle.core.signature import Axis, Signature, TensorSpec
from lifecycle.serve.predict.rows import decode_rows, predictions
from lifecycle.serve.protocol.codec import parse_json, render_json


def signature(
    *shape: Axis,
    dtype: str = "float32",
    labels: tuple[str, ...] = (),
    output: tuple[Axis, ...] = ("batch", 2),
) -> Signature:
    return Signature(
        inputs=(TensorSpec(name="x", dtype=dtype, shape=shape),),
        outputs=(TensorSpec(name="probabilities", dtype="float32", shape=output),),
        labels=labels,
    )


@pytest.mark.parametrize("content", [{"rows": [[[1, 2]], [[3, 4]]]}, [[[1, 2]], [[3, 4]]], [[1, 2], [3, 4]]])
def test_rows_may_be_wrapped_or_bare_nested_or_flat(content: Any) -> None:
    arrays = decode_rows(content, signature("batch", 1, 2))
    assert arrays["x"].dtype == np.float32
    assert arrays["x"].tolist() == [[[1, 2]], [[3, 4]]]


def test_rows_of_a_vector_of_scalars() -> None:
    assert decode_rows([1, 2, 3], signature("batch"))["x"].tolist() == [1, 2, 3]


def test_a_dynamic_axis_takes_the_size_that_it_is_given() -> None:
    sequence = signature("batch", "length", dtype="int64")
    assert decode_rows([[1, 2, 3]], sequence)["x"].shape == (1, 3)
    with pytest.raises(UsageError, match=r"rows\[1\]: expected the shape of the first row, \[3\], got \[2\]"):
        decode_rows([[1, 2, 3], [1, 2]], sequence)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"row": []}, "'rows' is missing: a list of rows of shape [1, 2]; the body has 'row'"),
        (None, "rows: expected a list of rows of shape [1, 2], got null"),
        ([], "rows: expected at least one of shape [1, 2], got 0"),
        ([5], "rows[0]: expected a list of shape [1, 2] (float32), got 5"),
        ([[1, 2], [1, 2, 3]], "rows[1]: expected 2 values for shape [1, 2], got 3"),
        ([[[1, 2], [3, 4]]], "rows[0]: expected a list of shape [1, 2] (float32), got one of shape [2, 2]"),
        ([[[1, 1e300]]], "rows[0]: 1e+300 at position 1 is out of the range of FP32, "),
    ],
)
def test_a_wrong_row_is_named(content: Any, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        decode_rows(content, signature("batch", 1, 2))
    assert caught.value.message.startswith(text)


def test_a_fixed_batch_takes_just_as_many_rows() -> None:
    with pytest.raises(UsageError, match=r"rows: expected exactly 2 of shape \[1\], got 1"):
        decode_rows([[1]], signature(2, 1, output=(2, 2)))


def test_models_that_rows_cannot_carry_are_refused() -> None:
    two = Signature(inputs=signature("batch").inputs * 2, outputs=signature("batch").outputs)
    with pytest.raises(UsageError, match="but this model has the inputs x, x; use /v2/models/NAME/infer"):
        decode_rows([[1]], two)
    with pytest.raises(UsageError, match="not every output of this model has the axis 'batch' first"):
        decode_rows([[1]], signature("batch", 1, output=(2,)))


def test_labels_are_those_of_the_greatest_probability() -> None:
    outputs = {"probabilities": np.array([[0.25, 0.75], [0.5, 0.5]], np.float32)}
    answer = parse_json(render_json(predictions(outputs, signature("batch", labels=("cat", "dog")))))
    assert answer == [
        {"label": "dog", "probability": 0.75, "probabilities": {"cat": 0.25, "dog": 0.75}},
        {"label": "cat", "probability": 0.5, "probabilities": {"cat": 0.5, "dog": 0.5}},
    ]


def test_no_label_is_claimed_of_what_is_not_a_number() -> None:
    outputs = {"probabilities": np.array([[0.25, np.nan]], np.float16)}
    answer = parse_json(render_json(predictions(outputs, signature("batch", labels=("cat", "dog")))))
    assert answer == [
        {"label": None, "probability": None, "probabilities": {"cat": 0.25, "dog": None}},
    ]


def test_without_labels_every_output_comes_by_name() -> None:
    outputs = {"probabilities": np.array([[0.25, 0.75]], np.float32), "count": np.array([7])}
    answer = parse_json(render_json(predictions(outputs, signature("batch"))))
    assert answer == [{"probabilities": [0.25, 0.75], "count": 7}]
