"""``POST /predict``, for people: rows of numbers in, labels and probabilities out."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from math import prod

import numpy as np

from lifecycle.core.errors import UsageError
from lifecycle.core.signature import Array, Axis, Signature, TensorSpec, shape_text
from lifecycle.serve.protocol.codec import (
    Parsed,
    decode_values,
    describe,
    names_of,
    parse_json,
    shape_of,
)
from lifecycle.serve.protocol.numbers import LONG, UnusualError, read_rows, takes

PROBABILITIES = "probabilities"


def decode_rows(content: Parsed, signature: Signature) -> dict[str, Array]:
    """Read ``{"rows": [row, ...]}`` or a bare list of rows.

    A row is one sample: the input's values without the batch axis, nested as its shape or flat.

    Args:
        content: What the body held.
        signature: Of a model with one input, whose first axis is the batch.

    Raises:
        UsageError: the model has no such input, or a row is wrong; names the row and what it should be.
    """
    spec = single_input(signature)
    rows = _rows(content, spec)
    arrays = [_decode_row(row, spec, f"rows[{at}]") for at, row in enumerate(rows)]
    for at, array in enumerate(arrays):
        if array.shape != arrays[0].shape:
            raise UsageError(
                f"rows[{at}]: expected the shape of the first row, {shape_text(arrays[0].shape)}, "
                f"got {shape_text(array.shape)}"
            )
    return {spec.name: np.stack(arrays)}


def decode_text(text: bytes, signature: Signature) -> dict[str, Array]:
    """The same of JSON as it arrived.

    Raises:
        UsageError: as `decode_rows`.
        MalformedError: it is no JSON.
    """
    spec = single_input(signature)
    if takes(spec.dtype) and len(text) >= LONG:
        with suppress(UnusualError):
            rows = read_rows(text)
            return {spec.name: rows.array(_measured(rows.shape, spec.shape), spec.dtype)}
    return decode_rows(parse_json(text), signature)


def predictions(outputs: Mapping[str, Array], signature: Signature) -> list[dict[str, object]]:
    """One object to a row.

    ``label``, ``probability`` and ``probabilities`` where the model has labels and an output of that
    name, one probability to a label; every output by name otherwise. A row whose probabilities are not
    finite has neither label nor probability.
    """
    probabilities = outputs.get(PROBABILITIES)
    labels = signature.labels
    if probabilities is not None and labels and probabilities.shape[1:] == (len(labels),):
        return [_labelled(row, labels) for row in probabilities]
    columns = {name: np.ascontiguousarray(array) for name, array in outputs.items()}  # orjson's demand
    count = min(map(len, columns.values()))
    return [{name: column[at] for name, column in columns.items()} for at in range(count)]


def _labelled(row: Array, labels: tuple[str, ...]) -> dict[str, object]:
    best = int(row.argmax())
    known = bool(np.isfinite(row.astype(np.float64)).all())
    return {
        "label": labels[best] if known else None,
        "probability": row[best] if known else None,
        "probabilities": dict(zip(labels, row, strict=True)),
    }


def takes_rows(signature: Signature) -> bool:
    """Whether rows can carry what the model takes and gives."""
    try:
        single_input(signature)
    except UsageError:
        return False
    return True


def single_input(signature: Signature) -> TensorSpec:
    """The one input; every tensor must share its first axis, or outputs could not be told apart by row.

    Raises:
        UsageError: the model is another kind; rows cannot carry what it takes or gives.
    """
    spec = signature.inputs[0]
    batch = spec.shape[:1]
    if len(signature.inputs) > 1 or not batch:
        what = f"this model has the inputs {', '.join(spec.name for spec in signature.inputs)}"
    elif any(output.shape[:1] != batch for output in signature.outputs):
        what = f"not every output of this model has the axis '{batch[0]}' first"
    else:
        return spec
    raise UsageError(f"/predict takes rows of a single input, but {what}; use /v2/models/NAME/infer")


def _rows(content: Parsed, spec: TensorSpec) -> list[Parsed]:
    sample = f"rows of shape {shape_text(spec.shape[1:])}"
    if isinstance(content, dict):
        if "rows" not in content:
            raise UsageError(f"'rows' is missing: a list of {sample}; the body has {names_of(content)}")
        content = content["rows"]
    if not isinstance(content, list):
        raise UsageError(f"rows: expected a list of {sample}, got {describe(content)}")
    want = spec.shape[0]
    if not content or (isinstance(want, int) and len(content) != want):
        count = "at least one" if isinstance(want, str) else f"exactly {want}"
        raise UsageError(f"rows: expected {count} of shape {shape_text(spec.shape[1:])}, got {len(content)}")
    return content


def _decode_row(row: Parsed, spec: TensorSpec, where: str) -> Array:
    """A flat row has the declared shape, where that is fixed; a nested one is its own measure."""
    sample: tuple[Axis, ...] = spec.shape[1:]
    fixed = tuple(axis for axis in sample if isinstance(axis, int))
    if not sample:
        return decode_values([row], (), spec.dtype, where)
    if not isinstance(row, list):
        raise UsageError(f"{where}: expected {_text(sample, spec)}, got {describe(row)}")
    nested = shape_of(row)
    if len(fixed) == len(sample) and len(nested) == 1:
        return decode_values(row, fixed, spec.dtype, where)
    fits = len(nested) == len(sample) and all(
        isinstance(want, str) or want == got for want, got in zip(sample, nested, strict=True)
    )
    if not fits:
        got = shape_text(nested[:16])
        raise UsageError(f"{where}: expected {_text(sample, spec)}, got one of shape {got}")
    return decode_values(row, nested, spec.dtype, where)


def _measured(got: tuple[int, ...], declared: tuple[Axis, ...]) -> tuple[int, ...]:
    """The shape of rows that are nested as declared, or flat where the shape of one is fixed."""
    fixed = tuple(axis for axis in declared[1:] if isinstance(axis, int))
    if fixed and len(got) == 2 and len(fixed) == len(declared) - 1 and got[1] == prod(fixed):
        got = (got[0], *fixed)
    if len(got) != len(declared):
        raise UnusualError
    if any(want != size and isinstance(want, int) for want, size in zip(declared, got, strict=True)):
        raise UnusualError
    return got


def _text(sample: tuple[Axis, ...], spec: TensorSpec) -> str:
    return f"a list of shape {shape_text(sample)} ({spec.dtype})"
