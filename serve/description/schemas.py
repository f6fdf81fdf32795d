"""JSON Schema of what a signature takes and gives (draft 2020-12, as OpenAPI 3.1 has it)."""

from __future__ import annotations

from math import prod

import numpy as np

from lifecycle.core.canonical import JSON
from lifecycle.core.signature import Axis, Signature, TensorSpec, shape_text
from lifecycle.serve.predict.rows import PROBABILITIES
from lifecycle.serve.protocol.codec import datatype_of

Schema = dict[str, JSON]


def element(dtype: str, *, answer: bool = False) -> Schema:
    """One value; in answers what is not finite is null.

    >>> element("uint8")
    {'type': 'integer', 'minimum': 0, 'maximum': 255}
    """
    kind = np.dtype(dtype).kind
    if kind == "O":
        return {"type": "string"}
    if kind == "b":
        return {"type": "boolean"}
    if kind == "f":
        if answer:
            return {"type": ["number", "null"]}
        top = float(np.finfo(dtype).max)
        return {"type": "number", "minimum": -top, "maximum": top}
    info = np.iinfo(dtype)
    return {"type": "integer", "minimum": int(info.min), "maximum": int(info.max)}


def nested(
    shape: tuple[Axis, ...], inner: Schema, limits: dict[str, tuple[int, int]] | None = None
) -> Schema:
    """Lists in lists, as a shape says."""
    for axis in reversed(shape):
        sizes: Schema = {"minItems": 1}
        if isinstance(axis, int):
            sizes = {"minItems": axis, "maxItems": axis}
        elif limits and axis in limits:
            sizes = {"minItems": limits[axis][0], "maxItems": limits[axis][1]}
        inner = {"type": "array", **sizes, "items": inner}
    return inner


def row(spec: TensorSpec, signature: Signature) -> Schema:
    """One sample: nested as its shape, or flat where that is fixed."""
    sample = spec.shape[1:]
    whole = nested(sample, element(spec.dtype), dict(signature.axes))
    text = f"one sample of '{spec.name}': shape {shape_text(sample)}, {spec.dtype}"
    if spec.range:
        text += f", values from {spec.range[0]:g} to {spec.range[1]:g}"
    sizes = [axis for axis in sample if isinstance(axis, int)]
    if len(sample) < 2 or len(sizes) < len(sample):
        return {**whole, "description": text}
    flat = nested((prod(sizes),), element(spec.dtype))
    return {"description": text, "anyOf": [whole, flat]}


def rows(signature: Signature) -> Schema:
    """Body of ``POST /predict``: a list of rows, or an object that holds it."""
    spec = signature.inputs[0]
    batch = nested(spec.shape[:1], row(spec, signature), dict(signature.axes))
    wrapped: Schema = {"type": "object", "required": ["rows"], "properties": {"rows": batch}}
    return {"anyOf": [wrapped, batch]}


def prediction(signature: Signature) -> Schema:
    """One answer of ``POST /predict``."""
    named = {spec.name: spec for spec in signature.outputs}
    labels = list(signature.labels)
    scores = named.get(PROBABILITIES)
    if scores is not None and labels and scores.shape[1:] == (len(labels),):
        odds: Schema = {label: element(scores.dtype, answer=True) for label in labels}
        return {
            "type": "object",
            "required": ["label", "probability", "probabilities"],
            "properties": {
                "label": {"enum": [*labels, None]},
                "probability": {"type": ["number", "null"]},
                "probabilities": {"type": "object", "required": list(labels), "properties": odds},
            },
        }
    outputs: Schema = {
        name: nested(spec.shape[1:], element(spec.dtype, answer=True)) for name, spec in named.items()
    }
    return {"type": "object", "required": list(named), "properties": outputs}


def infer_request(signature: Signature) -> Schema:
    """Body of an inference request of the protocol."""
    count = len(signature.inputs)
    names: list[JSON] = [spec.name for spec in signature.outputs]
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string", "description": "given back in the answer"},
            "parameters": {"type": "object"},
            "inputs": {
                "type": "array",
                "minItems": count,
                "maxItems": count,
                "items": {"anyOf": [_tensor(spec, signature) for spec in signature.inputs]},
            },
            "outputs": {
                "type": "array",
                "description": "which outputs are wanted; all of them unless said",
                "maxItems": len(names),
                "uniqueItems": True,
                "items": {"type": "object", "required": ["name"], "properties": {"name": {"enum": names}}},
            },
        },
    }


def infer_answer(signature: Signature) -> Schema:
    """An answer of the protocol in JSON."""
    return {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "parameters": {"type": "object"},
            "outputs": {"type": "array", "items": {"anyOf": [_output(spec) for spec in signature.outputs]}},
        },
    }


def _tensor(spec: TensorSpec, signature: Signature) -> Schema:
    sizes: list[JSON] = [
        {"const": axis} if isinstance(axis, int) else _size(axis, signature) for axis in spec.shape
    ]
    flat: Schema = {"type": "array", "minItems": 1, "items": element(spec.dtype)}
    whole = nested(spec.shape, element(spec.dtype), dict(signature.axes))
    return {
        "type": "object",
        "description": f"'{spec.name}': shape {shape_text(spec.shape)}, {spec.dtype}",
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"const": spec.name},
            "datatype": {"const": datatype_of(spec.dtype)},
            "shape": {
                "type": "array",
                "prefixItems": sizes,
                "minItems": len(sizes),
                "maxItems": len(sizes),
            },
            "data": {
                "description": "as many values as the shape says, flat in row-major order or nested",
                "anyOf": [flat, whole],
            },
            "parameters": {"type": "object"},
        },
    }


def _size(axis: str, signature: Signature) -> Schema:
    low, high = signature.axes.get(axis, (1, None))
    known: Schema = {"type": "integer", "minimum": low, "description": f"axis '{axis}'"}
    return known if high is None else {**known, "maximum": high}


def _output(spec: TensorSpec) -> Schema:
    return {
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"const": spec.name},
            "datatype": {"const": datatype_of(spec.dtype)},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            "data": {"type": "array", "items": element(spec.dtype, answer=True)},
        },
    }
