from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from lifecycle.core.errors import UsageError
from lifecycle.serve.protocol.binary import Tail, decode_bytes, encode_bytes
from lifecycle.serve.protocol.codec import DATATYPES

NUMBERS = [dtype for dtype in DATATYPES.values() if dtype != "object"]


@given(data=st.data(), dtype=st.sampled_from(NUMBERS), offset=st.integers(0, 9))
def test_every_number_passes_through_to_the_bit(data: st.DataObject, dtype: str, offset: int) -> None:
    """NaN and infinity too, wherever in the body they lie."""
    shapes = npst.array_shapes(min_dims=0, max_dims=4)
    array = data.draw(npst.arrays(dtype, shapes))
    packed = memoryview(bytes(offset) + bytes(encode_bytes(array)))[offset:]
    again = decode_bytes(packed, array.shape, dtype, "x")
    assert (again.dtype, again.shape) == (array.dtype, array.shape)
    assert again.flags.aligned
    assert again.tobytes() == array.tobytes()


@given(texts=st.lists(st.text(), min_size=1))
def test_every_text_passes_through(texts: list[str]) -> None:
    packed = memoryview(encode_bytes(np.array(texts, object)))
    assert decode_bytes(packed, (len(texts),), "object", "x").tolist() == texts


def test_numbers_are_used_where_they_lie() -> None:
    body = bytearray(np.arange(4, dtype=np.float32).tobytes())
    array = decode_bytes(memoryview(body), (2, 2), "float32", "x")
    body[:4] = np.float32(7).tobytes()
    assert array.tolist() == [[7, 1], [2, 3]]


def test_bytes_are_little_endian_and_row_by_row() -> None:
    array = np.array([[1, 2], [3, 4]], ">u2").T
    assert bytes(encode_bytes(array)) == bytes([1, 0, 3, 0, 2, 0, 4, 0])


@pytest.mark.parametrize(
    ("packed", "shape", "dtype", "text"),
    [
        (b"1234567", (2,), "float32", "x: expected 8 bytes for FP32 of shape [2], got 7"),
        (b"12345678", (2**62, 2**62), "uint8", "x: expected 21267647932558653966460912964485513216 bytes"),
        (b"\0\2", (2,), "bool", "x: expected the bytes 0 and 1 for BOOL, got 2 at position 1"),
        (b"\1\0\0\0", (1,), "object", "x: the text at position 0 ends behind the bytes of this input"),
        (b"\1\0", (1,), "object", "x: the text at position 0 ends behind the bytes of this input"),
        (b"\1\0\0\0\xff", (1,), "object", "x: the text at position 0 is not UTF-8"),
        (b"\0\0\0\0", (2,), "object", "x: expected 2 texts for shape [2], got 1"),
        (bytes(12), (2,), "object", "x: expected 2 texts for shape [2], got more"),
    ],
)
def test_wrong_bytes_are_named(packed: bytes, shape: Any, dtype: str, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        decode_bytes(memoryview(packed), shape, dtype, "x")
    assert caught.value.message.startswith(text)


def test_each_input_takes_its_bytes_in_order_and_none_is_left() -> None:
    tail = Tail(memoryview(b"abcdef"))
    assert bytes(tail.take(2, "x")) == b"ab"
    with pytest.raises(UsageError, match="y: 'binary_data_size' is 5, but 4 bytes are left of the body"):
        tail.take(5, "y")
    with pytest.raises(UsageError, match="the body: 4 bytes at its end belong to no input"):
        tail.check_empty()
    assert bytes(tail.take(4, "y")) == b"cdef"
    tail.check_empty()
