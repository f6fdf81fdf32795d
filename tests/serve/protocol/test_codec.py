from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from lifecycle.core.errors import UsageError
from lifecycle.serve.errors import MalformedError
from lifecycle.serve.protocol.codec import (
    DATATYPES,
    check_datatype,
    datatype_of,
    decode_values,
    may_hold_booleans,
    parse_json,
    render_json,
)

NUMBERS = sorted(dtype for dtype in DATATYPES.values() if dtype != "object")


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), dtype=st.sampled_from(NUMBERS), nested=st.booleans())
def test_what_is_written_is_read_back_to_the_bit(data: st.DataObject, dtype: str, nested: bool) -> None:
    elements: dict[str, Any] = (
        {"allow_nan": False, "allow_infinity": False} if np.dtype(dtype).kind == "f" else {}
    )
    shapes = npst.array_shapes(min_dims=1, max_dims=4)
    array = data.draw(npst.arrays(dtype, shapes, elements=npst.from_dtype(np.dtype(dtype), **elements)))
    values = parse_json(render_json(array if nested else array.ravel()))
    for booleans in (True, dtype == "bool"):
        again = decode_values(values, array.shape, dtype, "x", booleans=booleans)
        assert again.dtype == array.dtype
        np.testing.assert_array_equal(again, array)


def test_texts_are_read_and_written() -> None:
    array = decode_values(["a", "é", "", "x"], (2, 2), "object", "x")
    assert array.tolist() == [["a", "é"], ["", "x"]]
    assert render_json({"a": array}) == '{"a":[["a","é"],["","x"]]}'.encode()


def test_true_and_false_are_looked_for_in_the_text() -> None:
    assert may_hold_booleans(b'{"a": true}')
    assert may_hold_booleans(memoryview(b"[false]"))
    assert not may_hold_booleans(b'{"a": [1, null]}')


def test_every_data_type_has_one_dtype() -> None:
    assert {datatype_of(dtype): dtype for dtype in DATATYPES.values()} == dict(DATATYPES)


def test_other_types_are_refused() -> None:
    with pytest.raises(UsageError, match="x: expected datatype FP32, got 'BYTES'"):
        check_datatype("BYTES", "float32", "x")
    with pytest.raises(UsageError, match="x: expected datatype FP32, got 'FP64'"):
        check_datatype("FP64", "float32", "x")
    with pytest.raises(UsageError, match="dtype str cannot be served; allowed: bool, "):
        datatype_of("str")


@pytest.mark.parametrize(
    ("values", "dtype", "text"),
    [
        ([1, 2, 3], "uint8", "x: expected 4 values for shape [2, 2], got 3"),
        (7, "uint8", "x: expected a list of 4 values, got 7"),
        (
            [[1, 2], [3]],
            "uint8",
            "x: expected a flat list or one nested as [2, 2], got a list of 1 at depth 1",
        ),
        ([[1, 2], 3], "uint8", "x: expected a flat list or one nested as [2, 2], got 3 at depth 1"),
        ([[1, 2], [3, [4]]], "uint8", "x: expected integers for UINT8, got a list of 1 at position 3"),
        ([1, 2, 3, 256], "uint8", "x: 256 at position 3 is out of the range of UINT8, 0 to 255"),
        ([1, 2, 3, -129], "int8", "x: -129 at position 3 is out of the range of INT8, -128 to 127"),
        ([1, 2, 3, 4.0], "int64", "x: expected integers for INT64, got 4.0 at position 3"),
        ([1, 2, 3, True], "uint8", "x: expected integers for UINT8, got true at position 3"),
        ([True, False, True, 1], "bool", "x: expected true and false for BOOL, got 1 at position 3"),
        ([1, 2.5, 3, "4"], "float32", "x: expected numbers for FP32, got '4' at position 3"),
        ([1, 2.5, 3, None], "float32", "x: expected numbers for FP32, got null at position 3"),
        ([1, 2.5, 3, {}], "float32", "x: expected numbers for FP32, got an object at position 3"),
        ([0.0, 7e4, 0, 0], "float16", "x: 70000.0 at position 1 is out of the range of FP16, "),
        ([0.0, 0, 0, -1e39], "float32", "x: -1e+39 at position 3 is out of the range of FP32, "),
    ],
)
def test_a_wrong_value_is_named(values: Any, dtype: str, text: str) -> None:
    for booleans in {True, "true" in text}:
        with pytest.raises(UsageError) as caught:
            decode_values(values, (2, 2), dtype, "x", booleans=booleans)
        assert caught.value.message.startswith(text)


def test_64_bits_are_kept() -> None:
    values = parse_json(b"[18446744073709551615, 9007199254740993]")
    assert decode_values(values, (2,), "uint64", "x").tolist() == [2**64 - 1, 2**53 + 1]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[NaN]", b"[Infinity]", b"[1e999]", b"\xff", b"[" * 100_000, b'"\\ud800"', b"{'a': 1}"],
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedError, match=r"the body is not JSON: .* line 1 column"):
        parse_json(body)


def test_what_is_not_finite_is_written_as_null() -> None:
    assert render_json({"a": np.array([1, np.nan, np.inf], np.float32), "b": np.float32("nan")}) == (
        b'{"a":[1.0,null,null],"b":null}'
    )
