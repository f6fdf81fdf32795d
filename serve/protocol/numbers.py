"""Lists of numbers in a JSON text, made into arrays without an object of Python's for each number.

simdjson (Langdale and Lemire, "Parsing Gigabytes of JSON per Second", The VLDB Journal 28, 2019) lays a text
out on a tape, from which numbers are copied: a third of the time that lists of Python's floats take. It only
reads what is as it should be. Whatever else there is (no JSON, a number out of range, a ragged list, another
type) is an `UnusualError`, and is read again by `lifecycle.serve.protocol.codec`, which says what is wrong;
what both can read is the same array. pysimdjson has no wheels for every Python, and all works without it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any, Literal, TypeAlias

import numpy as np

from lifecycle.core.signature import Array

try:
    import simdjson
except ImportError:
    simdjson = None  # type: ignore[assignment]

Value: TypeAlias = "dict[str, Value] | list[Value] | Numbers | str | int | float | bool | None"

_KINDS: dict[str, Literal["d", "i", "u"]] = {
    dtype: "d" if np.dtype(dtype).kind == "f" else "u" if dtype == "uint64" else "i"
    for dtype in (
        "float16", "float32", "float64",
        "int8", "int16", "int32", "int64",
        "uint8", "uint16", "uint32", "uint64",
    )
}  # fmt: skip
LONG = 1024
_UNCOUNTED = 0xFFFFFF  # simdjson counts no further
_FEW, _FIELDS = 16, 32
_TROUBLES = (TypeError, ValueError, LookupError, RuntimeError)  # what pysimdjson raises


class UnusualError(Exception):
    """Something is not as it should be, or only not as it is read here; the other reader knows."""


class Numbers:
    """A list in a JSON text, nested evenly or not at all, before anybody knows what it should be.

    Attributes:
        shape: Size at each depth.
    """

    __slots__ = ("_values", "shape")

    def __init__(self, values: simdjson.Array, shape: tuple[int, ...]) -> None:
        self._values = values
        self.shape = shape

    def array(self, shape: tuple[int, ...], dtype: str) -> Array:
        """The numbers as an array.

        Args:
            shape: Of as many numbers as there are.
            dtype: numpy's name.

        Raises:
            UnusualError: they are no numbers, or not of this type.
        """
        kind = _KINDS.get(dtype)
        if kind is None or not prod(shape):
            raise UnusualError
        try:
            found = np.frombuffer(self._values.as_buffer(of_type=kind), "d" if kind == "d" else f"{kind}8")
        except _TROUBLES:
            raise UnusualError from None
        if len(found) != prod(shape):
            raise UnusualError
        with np.errstate(over="ignore"):
            numbers = found.astype(dtype, copy=False)
        if not (np.isfinite(numbers).all() if kind == "d" else numbers is found or (numbers == found).all()):
            raise UnusualError
        return numbers.reshape(shape)


def takes(dtype: str) -> bool:
    """Whether arrays of this type are read here; texts below `LONG` bytes are read quicker otherwise."""
    return simdjson is not None and dtype in _KINDS


def read_message(text: bytes) -> dict[str, Value]:
    """A request of the Open Inference Protocol, with the data of its inputs as `Numbers`.

    Raises:
        UnusualError: it is something else.
    """
    reader = _Reader()
    try:
        message = reader.fields(_parsed(text), inputs=reader.tensors)
    except _TROUBLES:
        raise UnusualError from None
    reader.check(text)
    return message


def read_rows(text: bytes) -> Numbers:
    """The rows of ``{"rows": [...]}``, or of a list of rows.

    Raises:
        UnusualError: it is something else.
    """
    reader = _Reader()
    try:
        content = _parsed(text)
        bare = type(content) is simdjson.Array
        rows = reader.numbers(content) if bare else reader.fields(content, rows=reader.numbers)["rows"]
    except _TROUBLES:
        raise UnusualError from None
    reader.check(text)
    return rows


def _expect(content: Any, kind: type) -> None:
    if type(content) is not kind:
        raise UnusualError


def _parsed(text: bytes) -> Any:
    if text[:1] not in (b"{", b"["):  # simdjson passes over a byte order mark
        raise UnusualError
    return simdjson.Parser().parse(text)


class _Reader:
    """Makes objects of Python of all that is no list of numbers."""

    def __init__(self) -> None:
        self._lists = 0  # that were met, at all depths

    def fields(self, content: Any, **readers: Callable[[Any], Value]) -> dict[str, Any]:
        """An object, some of whose fields have a reader of their own."""
        _expect(content, simdjson.Object)
        if len(content) > _FIELDS:  # each is searched for among all
            raise UnusualError
        found = {}
        for name in content:
            if (
                name in found or "\0" in name
            ):  # of two the first is found, and what follows a NUL is not looked at
                raise UnusualError
            found[name] = (readers.get(name) or self._plain)(content[name])
        return found

    def tensors(self, content: Any) -> list[Value]:
        """The inputs of a request."""
        _expect(content, simdjson.Array)
        self._lists += 1
        return [self.fields(tensor, data=self.numbers) for tensor in content]

    def numbers(self, content: Any) -> Numbers:
        """A list that is nested evenly."""
        _expect(content, simdjson.Array)
        shape, first = [], content
        while type(first) is simdjson.Array:
            shape.append(len(first))
            if not 0 < shape[-1] < _UNCOUNTED:
                raise UnusualError
            first = first[0]
        self._walk(content, shape[1:])
        return Numbers(content, tuple(shape))

    def _walk(self, values: Any, sizes: list[int]) -> None:
        """Raise unless lists have the sizes that the first at each depth have."""
        self._lists += 1
        if not sizes:
            return
        if any(len(inner) != sizes[0] for inner in values):
            raise UnusualError
        if len(sizes) == 1:
            self._lists += len(values)
            return
        for inner in values:
            self._walk(inner, sizes[1:])

    def _plain(self, value: Any) -> Any:
        if type(value) is simdjson.Array:
            self._lists += 1
            return value.as_list()
        return value.as_dict() if type(value) is simdjson.Object else value

    def check(self, text: bytes) -> None:
        """Raise where there are lists that were not met: one among numbers, say, which are copied flat."""
        if self._lists > _FEW:
            met = text.count(b"[") == self._lists
        else:  # quicker
            at = -1
            for _ in range(self._lists):
                at = text.find(b"[", at + 1)
            met = text.find(b"[", at + 1) < 0
        if not met:
            raise UnusualError
