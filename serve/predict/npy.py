"""Arrays as numpy writes them (``.npy``): the header is judged before anything is made of it.

The format is NumPy's, ``numpy.lib.format``. Nothing is unpickled.
"""

from __future__ import annotations

from io import BytesIO
from math import prod

import numpy as np

from lifecycle.core.errors import UsageError
from lifecycle.core.signature import Array, Signature, TensorSpec, shape_text
from lifecycle.serve.predict.rows import single_input

MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 65_536  # numpy itself reads none that is longer than 10,000


def decode_npy(body: bytes | memoryview, signature: Signature) -> dict[str, Array]:
    """Rows from one array whose first axis counts them.

    Integers become floats and floats become another width of float, as numbers in JSON do; whatever would
    change a value beyond rounding is refused.

    Args:
        body: A ``.npy`` file.
        signature: Of a model with one input, whose first axis is the batch.

    Raises:
        UsageError: it is no such file, or its array is not what the model takes.
    """
    spec = single_input(signature)
    if spec.dtype == "object":
        raise UsageError(f"array: '{spec.name}' takes texts, which no array carries here; send JSON rows")
    shape, fortran, dtype, start = _read_header(body)
    _check_shape(shape, spec)
    stated = prod(shape) * dtype.itemsize
    if len(body) - start != stated:
        raise UsageError(
            f"array: its header says {shape_text(shape)} of {dtype.name}, {stated} bytes, "
            f"but {len(body) - start} follow"
        )
    array = np.frombuffer(body, dtype, offset=start).reshape(shape, order="F" if fortran else "C")
    return {spec.name: _cast(np.ascontiguousarray(array), spec)}


def _read_header(body: bytes | memoryview) -> tuple[tuple[int, ...], bool, np.dtype[np.generic], int]:
    """Shape, whether columns come first, element type, and where the values start."""
    stream = BytesIO(body[:_LONGEST_HEADER])
    try:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
        else:
            raise ValueError(f"version {version[0]}.{version[1]} of the format is not read here")
    except Exception as error:  # the header is parsed as Python text, which fails in many ways
        reason = str(error).partition("\n")[0][:200]
        raise UsageError(f"array: this is no .npy file that can be read: {reason}") from None
    if dtype.kind not in "biuf":
        raise UsageError(f"array: expected numbers, got elements of type {dtype}")
    return shape, fortran, dtype, stream.tell()


def _check_shape(shape: tuple[int, ...], spec: TensorSpec) -> None:
    fits = len(shape) == len(spec.shape) and all(
        got > 0 and (isinstance(want, str) or want == got)
        for want, got in zip(spec.shape, shape, strict=True)
    )
    if fits:
        return
    advice = ""
    if len(shape) == len(spec.shape) - 1:
        advice = "; the first axis counts the rows: array[None] makes one of a single row"
    raise UsageError(f"array: expected shape {shape_text(spec.shape)}, got {shape_text(shape[:16])}{advice}")


def _cast(array: Array, spec: TensorSpec) -> Array:
    got, want = array.dtype, np.dtype(spec.dtype)
    if got.kind == want.kind and got.itemsize == want.itemsize:
        return array.astype(want)  # the other byte order, at most
    if (got.kind == "b") != (want.kind == "b") or (got.kind == "f" and want.kind != "f"):
        raise UsageError(f"array: expected {spec.dtype}, got {got.name}; convert it with array.astype")
    with np.errstate(over="ignore"):
        made = array.astype(want)
    changed = np.isfinite(made) != np.isfinite(array) if want.kind == "f" else made != array
    if changed.any():
        at = tuple(int(i) for i in np.unravel_index(int(changed.argmax()), array.shape))
        raise UsageError(f"array: {array[at]} at {list(at)} is out of the range of {spec.dtype}")
    return made
