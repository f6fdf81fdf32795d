"""JSON and tensors: the protocol's data types, numbers to arrays, arrays to JSON.

Data types as in the Open Inference Protocol, "Tensor Data Types". Numbers are never changed silently:
a value that the type cannot hold is refused, and what is not finite leaves as ``null``.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from itertools import chain
from math import prod
from typing import TypeAlias, cast

import numpy as np
import orjson

from lifecycle.core.errors import UsageError, suggest
from lifecycle.core.signature import Array, shape_text
from lifecycle.serve.errors import MalformedError
from lifecycle.serve.protocol.numbers import Numbers, UnusualError

Parsed: TypeAlias = "dict[str, Parsed] | list[Parsed] | str | int | float | bool | None"

DATATYPES: Mapping[str, str] = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    "BYTES": "object",
}
_RARELY = 32
_all = np.logical_and.reduce  # of which the method `all` is a slower form
_BY_DTYPE = {dtype: datatype for datatype, dtype in DATATYPES.items()}
_BY_KIND = {np.dtype(dtype): datatype for datatype, dtype in DATATYPES.items()}
_DTYPES = {dtype: np.dtype(dtype) for dtype in DATATYPES.values()}  # np.dtype(text) parses every time
# The standard library's array refuses what is no number of its kind, or out of range, in one pass.
_CODES: Mapping[str, str] = {
    name: code
    for code in "bBhHiIqQfd"
    if (name := np.dtype(code).name) in _BY_DTYPE and np.dtype(code).itemsize == array(code).itemsize
}
_ALLOWED: Mapping[str, tuple[set[type], str]] = {
    "b": ({bool}, "true and false"),
    "f": ({int, float}, "numbers"),
    "O": ({str}, "texts"),
}


def datatype_of(dtype: str) -> str:
    """The protocol's word for numpy's.

    Raises:
        UsageError: the protocol has none that is served here.

    >>> datatype_of("float32")
    'FP32'
    """
    if dtype not in _BY_DTYPE:
        raise UsageError(f"dtype {dtype} cannot be served; {suggest(dtype, _BY_DTYPE)}")
    return _BY_DTYPE[dtype]


def datatype_of_array(values: Array) -> str:
    """The protocol's word for the type of an array in this machine's byte order."""
    return _BY_KIND[values.dtype]


def check_datatype(got: Parsed, dtype: str, where: str) -> None:
    """Raise `UsageError` unless `got` is the protocol's word for `dtype`."""
    expected = datatype_of(dtype)
    if got != expected:
        raise UsageError(f"{where}: expected datatype {expected}, got {describe(got)}")


def parse_json(body: bytes | bytearray | memoryview) -> Parsed:
    """Read JSON as RFC 8259 has it: UTF-8, no NaN, no infinity, at most 1,024 levels.

    Raises:
        MalformedError: it is something else; says what and where.
    """
    try:
        content: Parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedError(f"the body is not JSON: {error}") from None
    return content


def render_json(content: object) -> bytes:
    """Write JSON; numpy arrays and scalars become lists and numbers, what is not finite ``null``."""
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY, default=_plain)


def _plain(value: object) -> object:
    """Arrays of texts, and those that are not laid out row by row."""
    if isinstance(value, np.ndarray):
        return value.tolist() if value.dtype.kind == "O" else np.ascontiguousarray(value)
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def may_hold_booleans(text: bytes | memoryview) -> bool:
    """Whether ``true`` or ``false`` occurs in a JSON text; quick, as `decode_values` wants to know it.

    >>> may_hold_booleans(b'{"features": [0.5, true]}'), may_hold_booleans(b'{"features": [0.5, 1]}')
    (True, False)
    """
    text = bytes(text)
    return _holds(text, b"true", b"r") or _holds(text, b"false", b"f")


def _holds(text: bytes, word: bytes, letter: bytes) -> bool:
    """Whether a word occurs: by a letter of it, which is found many times quicker, while that is rare."""
    before = word.index(letter)
    at = text.find(letter)
    for _ in range(_RARELY):
        if at < 0:
            return False
        if text.startswith(word, max(0, at - before)):
            return True
        at = text.find(letter, at + 1)
    return word in text


def decode_values(
    values: Parsed | Numbers, shape: tuple[int, ...], dtype: str, where: str, *, booleans: bool = True
) -> Array:
    """An array of the given shape and type from a flat list, or one nested as the shape says.

    Args:
        values: What the JSON held, or holds.
        shape: Size of every axis, none negative.
        dtype: numpy's name of one of `DATATYPES`.
        where: The field, as error messages name it.
        booleans: Whether any of them may be true or false; without, most are checked as they are converted.

    Raises:
        UsageError: the count, the nesting, a type or a value is wrong; names the field and the first culprit.
        UnusualError: the same of values that are still in the text.
    """
    if isinstance(values, Numbers):
        if values.shape not in ((prod(shape),), shape):
            raise UnusualError
        return values.array(shape, dtype)
    flat = _flatten(values, shape, where)
    code = None if booleans else _CODES.get(dtype)
    if code is not None and (quick := _convert(flat, code, dtype)) is not None:
        return quick.reshape(shape)
    _check_types(flat, dtype, where)
    return _to_array(flat, dtype, where).reshape(shape)


def shape_of(values: Parsed) -> tuple[int, ...]:
    """The shape of a nested list, read off its first elements.

    >>> shape_of([[1, 2], [3, 4], [5, 6]])
    (3, 2)
    """
    shape = []
    while isinstance(values, list):
        shape.append(len(values))
        if not values:
            break
        values = values[0]
    return tuple(shape)


def describe(value: Parsed) -> str:
    """A JSON value in an error message, short however long it is.

    >>> describe([1, 2, 3]), describe("a"), describe({}), describe(None)
    ('a list of 3', "'a'", 'an object', 'null')
    """
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else value[:40] + "…")
    return orjson.dumps(value).decode()


def names_of(content: Mapping[str, object]) -> str:
    """The fields of an object in an error message, short however many.

    >>> names_of({"row": []}), names_of({})
    ("'row'", 'no fields')
    """
    return ", ".join(describe(name) for name in list(content)[:8]) or "no fields"


def _convert(flat: list[Parsed], code: str, dtype: str) -> Array | None:
    """An array of numbers that are all as they should be; None where one may not be."""
    try:
        numbers = np.frombuffer(array(code, cast("list[float]", flat)), _DTYPES[dtype])
    except (TypeError, OverflowError, ValueError):
        return None
    return numbers if numbers.dtype.kind != "f" or _all(np.isfinite(numbers)) else None


def _flatten(values: Parsed, shape: tuple[int, ...], where: str) -> list[Parsed]:
    if not isinstance(values, list):
        raise UsageError(f"{where}: expected a list of {prod(shape)} values, got {describe(values)}")
    if not (values and isinstance(values[0], list)):
        if len(values) != prod(shape):
            raise UsageError(
                f"{where}: expected {prod(shape)} values for shape {shape_text(shape)}, got {len(values)}"
            )
        return values
    level: list[Parsed] = [values]
    for depth, size in enumerate(shape):
        for item in level:
            if not isinstance(item, list) or len(item) != size:
                raise _misfit(where, shape, f"{describe(item)} at depth {depth}")
        level = list(chain.from_iterable(cast("list[list[Parsed]]", level)))
    return level


def _misfit(where: str, shape: tuple[int, ...], got: str) -> UsageError:
    return UsageError(f"{where}: expected a flat list or one nested as {shape_text(shape)}, got {got}")


def _check_types(flat: list[Parsed], dtype: str, where: str) -> None:
    kind = _DTYPES[dtype].kind
    allowed, expected = _ALLOWED.get(kind, ({int}, "integers"))
    if set(map(type, flat)) <= allowed:  # the types alone, in C: this runs over every element
        return
    at, culprit = next((at, value) for at, value in enumerate(flat) if type(value) not in allowed)
    raise UsageError(
        f"{where}: expected {expected} for {datatype_of(dtype)}, got {describe(culprit)} at position {at}"
    )


def _to_array(flat: list[Parsed], dtype: str, where: str) -> Array:
    kind = _DTYPES[dtype].kind
    if kind == "O":
        return np.array(flat, dtype=dtype)
    low: float
    high: float
    numbers = cast("list[float]", flat)
    try:
        if kind != "f":
            return np.fromiter(numbers, _DTYPES[dtype], len(flat))
        with np.errstate(over="ignore"):
            converted: Array = np.fromiter(numbers, _DTYPES[dtype], len(flat))
    except OverflowError:
        low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    else:
        if np.isfinite(converted).all():
            return converted
        low, high = float(np.finfo(dtype).min), float(np.finfo(dtype).max)
    outside = ((at, v) for at, v in enumerate(flat) if isinstance(v, int | float) and not low <= v <= high)
    at, culprit = next(outside)
    raise UsageError(
        f"{where}: {culprit} at position {at} is out of the range of {datatype_of(dtype)}, {low} to {high}"
    )
