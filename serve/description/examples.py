"""Inputs that a signature allows: what the page and the API document offer to begin with."""

from __future__ import annotations

from math import prod
from typing import cast

import numpy as np

from lifecycle.core.canonical import JSON
from lifecycle.core.errors import UsageError
from lifecycle.core.signature import Array, Signature, TensorSpec
from lifecycle.serve.predict.rows import single_input
from lifecycle.serve.protocol.codec import datatype_of

MOST_NUMBERS = 4096
_INNER = 4  # size of a dynamic axis that is not the batch
_DIGITS = 3


def example_arrays(signature: Signature) -> dict[str, Array]:
    """One sample, the same at each call: by the statistics of the training data, or within the range."""
    sizes = signature.sizes(_INNER)
    for spec in signature.inputs:
        if spec.shape and isinstance(spec.shape[0], str):
            sizes[spec.shape[0]] = signature.sizes(1)[spec.shape[0]]
    generator = np.random.default_rng(0)
    return {spec.name: _values(spec, signature, generator, sizes) for spec in signature.inputs}


def example_rows(signature: Signature) -> list[JSON] | None:
    """Rows for ``/predict``; None where the model takes none, or too many numbers to read."""
    try:
        spec = single_input(signature)
    except UsageError:
        return None
    array = example_arrays(signature)[spec.name]
    return cast("list[JSON]", _plain(array)) if array.size <= MOST_NUMBERS else None


def example_request(signature: Signature) -> dict[str, JSON] | None:
    """A request of the Open Inference Protocol; None where it would be too long."""
    arrays = example_arrays(signature)
    if sum(array.size for array in arrays.values()) > MOST_NUMBERS:
        return None
    return {
        "inputs": [
            {
                "name": spec.name,
                "shape": list(arrays[spec.name].shape),
                "datatype": datatype_of(spec.dtype),
                "data": _plain(arrays[spec.name].ravel()),
            }
            for spec in signature.inputs
        ]
    }


def readable(value: JSON, indent: str = "") -> str:
    """JSON with each list of numbers on a line of its own.

    >>> print(readable([[[1, 2], [3, 4]]]))
    [
      [
        [1, 2],
        [3, 4]
      ]
    ]
    """
    import json

    deeper = indent + "  "
    if isinstance(value, list) and any(isinstance(item, list | dict) for item in value):
        inner = ",\n".join(deeper + readable(item, deeper) for item in value)
        return f"[\n{inner}\n{indent}]"
    if isinstance(value, dict):
        pairs = (f"{deeper}{json.dumps(name)}: {readable(item, deeper)}" for name, item in value.items())
        return "{\n" + ",\n".join(pairs) + f"\n{indent}}}"
    return json.dumps(value)


def _values(
    spec: TensorSpec, signature: Signature, generator: np.random.Generator, sizes: dict[str, int]
) -> Array:
    known = signature.statistics.get(spec.name)
    shape = tuple(sizes[axis] if isinstance(axis, str) else axis for axis in spec.shape)
    if known is None or np.dtype(spec.dtype).kind not in "fiu" or prod(shape) == 0:
        return spec.random(generator, **sizes)
    values = generator.normal(known.mean, known.std, shape).clip(known.min, known.max)
    return (values if np.dtype(spec.dtype).kind == "f" else np.rint(values)).astype(spec.dtype)


def _plain(array: Array) -> JSON:
    if array.dtype.kind == "f":
        return cast("JSON", array.astype(np.float64).round(_DIGITS).tolist())
    return cast("JSON", array.tolist())
