"""The binary tensor extension: numbers as bytes behind the JSON, used where they lie.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
Little-endian, row-major; a text is its length in four bytes and then UTF-8. What is not finite passes
through unchanged both ways.
"""

from __future__ import annotations

from math import prod

import numpy as np

from lifecycle.core.errors import UsageError
from lifecycle.core.signature import Array, shape_text
from lifecycle.serve.protocol.codec import datatype_of

HEADER = "Inference-Header-Content-Length"
_LENGTH_BYTES = 4


class Tail:
    """What follows the JSON in a body, taken from the front.

    Args:
        content: The bytes; arrays made of them share their memory.
    """

    def __init__(self, content: memoryview) -> None:
        self._content = content
        self._at = 0

    def take(self, size: int, where: str) -> memoryview:
        """The next bytes; raises `UsageError` where there are not so many."""
        left = len(self._content) - self._at
        if size > left:
            raise UsageError(
                f"{where}: 'binary_data_size' is {size}, but {left} bytes are left of the body; {HEADER} "
                "says where the JSON ends and the bytes of the inputs begin"
            )
        self._at += size
        return self._content[self._at - size : self._at]

    def check_empty(self) -> None:
        """Raise `UsageError` where bytes are left that belong to no input."""
        left = len(self._content) - self._at
        if left:
            raise UsageError(f"the body: {left} bytes at its end belong to no input's 'binary_data_size'")


def decode_bytes(content: memoryview, shape: tuple[int, ...], dtype: str, where: str) -> Array:
    """An array of the given shape and type, which shares the memory of `content` where it is aligned.

    Args:
        content: The bytes.
        shape: Size of every axis, none negative.
        dtype: numpy's name of one of `lifecycle.serve.protocol.codec.DATATYPES`.
        where: The field, as error messages name it.

    Raises:
        UsageError: they are too few or too many, or no such values.
    """
    if dtype == "object":
        return _decode_texts(content, shape, where)
    kind = np.dtype(dtype)
    if len(content) != (expected := prod(shape) * kind.itemsize):
        raise UsageError(
            f"{where}: expected {expected} bytes for {datatype_of(dtype)} of shape {shape_text(shape)}, "
            f"got {len(content)}"
        )
    if kind.kind == "b":
        _check_booleans(content, where)
    array = np.frombuffer(content, kind.newbyteorder("<")).reshape(shape)
    return array.astype(kind) if not array.flags.aligned or array.dtype != kind else array.view(kind)


def encode_bytes(array: Array) -> bytes | memoryview:
    """The inverse of `decode_bytes`; shares the array's memory where that is as it has to be."""
    if array.dtype.kind == "O":
        texts = [str(text).encode() for text in array.ravel().tolist()]
        return b"".join(len(text).to_bytes(_LENGTH_BYTES, "little") + text for text in texts)
    packed = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return packed.reshape(-1).view(np.uint8).data


def _check_booleans(content: memoryview, where: str) -> None:
    values = np.frombuffer(content, np.uint8)
    if values.size and values.max() > 1:
        at = int((values > 1).argmax())
        raise UsageError(f"{where}: expected the bytes 0 and 1 for BOOL, got {values[at]} at position {at}")


def _decode_texts(content: memoryview, shape: tuple[int, ...], where: str) -> Array:
    texts: list[str] = []
    begin, count = 0, prod(shape)
    while begin < len(content) and len(texts) <= count:
        size = int.from_bytes(content[begin : begin + _LENGTH_BYTES], "little")
        begin += _LENGTH_BYTES
        if begin + size > len(content):
            raise UsageError(
                f"{where}: the text at position {len(texts)} ends behind the bytes of this input"
            )
        try:
            texts.append(str(content[begin : begin + size], "utf-8"))
        except UnicodeDecodeError:
            raise UsageError(f"{where}: the text at position {len(texts)} is not UTF-8") from None
        begin += size
    if len(texts) != count:
        got = len(texts) if len(texts) < count else "more"
        raise UsageError(f"{where}: expected {count} texts for shape {shape_text(shape)}, got {got}")
    return np.array(texts, dtype=object).reshape(shape)
