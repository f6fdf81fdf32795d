from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.core.errors import UsageError
from lifecycle.serve.predict.npy import decode_npy
from tests.serve.pictures import takes


def saved(array: Any, **options: Any) -> bytes:
    stream = BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def claiming(header: str) -> bytes:
    text = header.encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    ("dtype", "array"),
    [
        ("float32", np.array([[1.5, 2], [3, -4]], np.float32)),
        ("float32", np.array([[0.1, 2], [3, -4]])),
        ("float32", np.array([[1, 2], [3, -4]], ">i8")),
        ("float32", np.asfortranarray(np.array([[1, 2], [3, 4]], np.float32))),
        ("float32", np.array([[np.nan, np.inf], [3, 4]])),
        ("uint8", np.array([[255, 0], [1, 2]])),
        ("int64", np.array([[2**40, 0], [1, 2]], ">i8")),
        ("bool", np.array([[True, False], [False, True]])),
    ],
)
def test_arrays_become_what_the_model_takes(dtype: str, array: np.ndarray) -> None:
    made = decode_npy(saved(array), takes("batch", 2, dtype=dtype))["image"]
    assert made.dtype == dtype
    assert made.dtype.isnative
    assert made.flags.c_contiguous
    np.testing.assert_array_equal(made, array.astype(dtype))


@pytest.mark.parametrize(
    ("dtype", "array", "text"),
    [
        ("uint8", np.array([[0, 256]]), "array: 256 at [0, 1] is out of the range of uint8"),
        ("float32", np.array([[0, 1e300]]), "array: 1e+300 at [0, 1] is out of the range of float32"),
        ("uint8", np.array([[0.5, 1]]), "array: expected uint8, got float64; convert it with array.astype"),
        ("float32", np.array([[True, False]]), "array: expected float32, got bool"),
        (
            "float32",
            np.array([1, 2]),
            "array: expected shape [batch, 2], got [2]; the first axis counts the rows",
        ),
        ("float32", np.zeros((1, 3)), "array: expected shape [batch, 2], got [1, 3]"),
        ("float32", np.zeros((0, 2)), "array: expected shape [batch, 2], got [0, 2]"),
        ("float32", np.array([["a", "b"]]), "array: expected numbers, got elements of type <U1"),
        ("float32", np.zeros((1, 2), "complex64"), "array: expected numbers, got elements of type complex64"),
    ],
)
def test_other_arrays_are_refused(dtype: str, array: np.ndarray, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        decode_npy(saved(array), takes("batch", 2, dtype=dtype))
    assert caught.value.message.startswith(text)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(0, 160), st.binary(min_size=1, max_size=4)), max_size=4),
    st.integers(0, 200),
)
def test_whatever_happened_to_a_file_it_is_read_or_refused(
    changes: list[tuple[int, bytes]], kept: int
) -> None:
    content = bytearray(saved(np.array([[1.5, 2], [3, 4]], np.float32)))
    for at, replaced in changes:
        content[at : at + len(replaced)] = replaced
    try:
        made = decode_npy(bytes(content[:kept]), takes("batch", 2))["image"]
    except UsageError as error:
        assert error.message.startswith("array: ")
    else:
        assert made.dtype == np.float32
        assert made.shape[1:] == (2,)


def test_texts_are_sent_as_rows() -> None:
    with pytest.raises(
        UsageError, match="array: 'image' takes texts, which no array carries here; send JSON rows"
    ):
        decode_npy(saved(np.array([["a", "b"]])), takes("batch", 2, dtype="object"))


def test_nothing_is_unpickled() -> None:
    with pytest.raises(UsageError, match="array: expected numbers, got elements of type object"):
        decode_npy(saved(np.array([[{}, {}]], object), allow_pickle=True), takes("batch", 2))


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "array: this is no .npy file that can be read: "),
        (b"\x93NUMPY\x03\x00", "array: this is no .npy file that can be read: version 3.0"),
        (saved(np.zeros((1, 2)))[:20], "array: this is no .npy file that can be read: "),
        (saved(np.zeros((1, 2)))[:-1], "array: its header says [1, 2] of float64, 16 bytes, but 15 follow"),
        (saved(np.zeros((1, 2))) + b"x", "array: its header says [1, 2] of float64, 16 bytes, but 17 follow"),
        (
            claiming("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 2)}\n"),
            "array: its header says [1000000000000, 2] of float64, 16000000000000 bytes, but 0 follow",
        ),
        (claiming("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 2)}\n"), "array: expected shape"),
        (claiming("__import__('os')\n"), "array: this is no .npy file that can be read: "),
        (claiming("(" * 5000 + "\n"), "array: this is no .npy file that can be read: "),
    ],
)
def test_a_header_is_not_believed(body: bytes, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        decode_npy(body, takes("batch", 2))
    assert caught.value.message.startswith(text)
