"""Messages of the Open Inference Protocol (V2), JSON form, to and from arrays.

https://github.com/kserve/open-inference-protocol, ``specification/protocol/inference_rest.md``.
The binary tensor extension is refused by name rather than misread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lifecycle.core.canonical import JSON
from lifecycle.core.errors import UsageError, suggest
from lifecycle.core.signature import Array, Signature, TensorSpec, shape_text
from lifecycle.serve.codec import Parsed, check_datatype, datatype_of, decode_values, describe, names_of
from lifecycle.serve.endpoint import Endpoint


@dataclass(frozen=True, kw_only=True)
class InferRequest:
    """One decoded request.

    Attributes:
        id: To be given back, None when the client sent none.
        arrays: Inputs by name.
        outputs: Names of the outputs that are wanted, in the order of the answer.
    """

    id: str | None
    arrays: Mapping[str, Array]
    outputs: tuple[str, ...]


def server_metadata(version: str) -> dict[str, JSON]:
    """Answer to ``GET /v2``.

    Args:
        version: Of the server program.
    """
    return {"name": "lifecycle", "version": version, "extensions": []}


def model_metadata(endpoint: Endpoint) -> dict[str, JSON]:
    """Answer to ``GET /v2/models/NAME``; dynamic axes are -1."""
    signature = endpoint.signature
    return {
        "name": endpoint.name,
        "versions": [endpoint.version],
        "platform": "onnx_onnxv1",
        "inputs": [_tensor_metadata(spec) for spec in signature.inputs],
        "outputs": [_tensor_metadata(spec) for spec in signature.outputs],
        "parameters": {"digest": endpoint.digest},
    }


def decode_request(content: Parsed, signature: Signature) -> InferRequest:
    """Read an inference request.

    Raises:
        UsageError: a field is missing or wrong, or names something that the model does not have.
    """
    if not isinstance(content, dict):
        raise UsageError(f"the body: expected an object with 'inputs', got {describe(content)}")
    identifier = content.get("id")
    if identifier is not None and not isinstance(identifier, str):
        raise UsageError(f"id: expected a text, got {describe(identifier)}")
    return InferRequest(
        id=identifier,
        arrays=_decode_inputs(_list(content, "inputs"), signature),
        outputs=_decode_outputs(_list(content, "outputs", optional=True), signature),
    )


def encode_answer(
    endpoint: Endpoint, request: InferRequest, arrays: Mapping[str, Array]
) -> dict[str, object]:
    """Shape the outputs that were asked for; the data of each is flat, in row-major order."""
    answer: dict[str, object] = {"model_name": endpoint.name, "model_version": endpoint.version}
    if request.id is not None:
        answer["id"] = request.id
    answer["parameters"] = {"digest": endpoint.digest}
    answer["outputs"] = [
        {
            "name": name,
            "datatype": datatype_of(arrays[name].dtype.name),
            "shape": list(arrays[name].shape),
            "data": arrays[name].ravel(),
        }
        for name in request.outputs
    ]
    return answer


def _tensor_metadata(spec: TensorSpec) -> dict[str, JSON]:
    shape: list[JSON] = [axis if isinstance(axis, int) else -1 for axis in spec.shape]
    return {"name": spec.name, "datatype": datatype_of(spec.dtype), "shape": shape}


def _decode_inputs(tensors: list[Parsed], signature: Signature) -> dict[str, Array]:
    specs = {spec.name: spec for spec in signature.inputs}
    arrays: dict[str, Array] = {}
    for at, tensor in enumerate(tensors):
        entry, name = _named(tensor, f"inputs[{at}]", specs)
        if name in arrays:
            raise UsageError(f"input '{name}' is given twice")
        arrays[name] = _decode_input(entry, specs[name])
    return arrays


def _decode_input(tensor: Mapping[str, Parsed], spec: TensorSpec) -> Array:
    where = f"input '{spec.name}'"
    _refuse_binary(tensor, "binary_data_size", where)
    for field in ("shape", "datatype", "data"):
        if field not in tensor:
            raise UsageError(f"{where}: '{field}' is missing")
    check_datatype(tensor["datatype"], spec.dtype, where)
    shape = _decode_shape(tensor["shape"], spec, where)
    return decode_values(tensor["data"], shape, spec.dtype, where)


def _decode_shape(value: Parsed, spec: TensorSpec, where: str) -> tuple[int, ...]:
    expected = f"{where}: expected shape {shape_text(spec.shape)}"
    if not isinstance(value, list):
        raise UsageError(f"{expected}, got {describe(value)}")
    sizes = []
    for size in value:
        if type(size) is not int or size < 0:
            raise UsageError(f"{expected}, got {describe(size)} as the size of an axis")
        sizes.append(size)
    shape = tuple(sizes)
    if len(shape) != len(spec.shape):
        raise UsageError(f"{expected}, got {len(shape)} axes: {shape_text(shape[:16])}")
    for want, got in zip(spec.shape, shape, strict=True):
        if got != want and isinstance(want, int):
            raise UsageError(f"{expected}, got {shape_text(shape)}")
    return shape


def _decode_outputs(tensors: list[Parsed], signature: Signature) -> tuple[str, ...]:
    """All outputs unless some are named."""
    specs = {spec.name: spec for spec in signature.outputs}
    names: list[str] = []
    for at, tensor in enumerate(tensors):
        entry, name = _named(tensor, f"outputs[{at}]", specs)
        _refuse_binary(entry, "binary_data", f"output '{name}'")
        if name in names:
            raise UsageError(f"output '{name}' is asked for twice")
        names.append(name)
    return tuple(names or specs)


def _named(tensor: Parsed, where: str, specs: Mapping[str, TensorSpec]) -> tuple[dict[str, Parsed], str]:
    """An entry and its name, which must be one of `specs`."""
    if not isinstance(tensor, dict):
        raise UsageError(f"{where}: expected an object with a 'name', got {describe(tensor)}")
    name = tensor.get("name")
    if not isinstance(name, str):
        raise UsageError(f"{where}: expected a text for 'name', got {describe(name)}")
    if name not in specs:
        raise UsageError(f"{where}: no such name {describe(name)}; {suggest(name[:100], specs)}")
    return tensor, name


def _refuse_binary(tensor: Mapping[str, Parsed], parameter: str, where: str) -> None:
    parameters = tensor.get("parameters")
    if parameters is None:
        return
    if not isinstance(parameters, dict):
        raise UsageError(f"{where}: expected an object for 'parameters', got {describe(parameters)}")
    if parameters.get(parameter):
        raise UsageError(f"{where}: binary tensor data is not served; send and ask for JSON 'data'")


def _list(content: Mapping[str, Parsed], field: str, *, optional: bool = False) -> list[Parsed]:
    if field not in content and optional:
        return []
    if field not in content:
        raise UsageError(f"'{field}' is missing; the body has {names_of(content)}")
    value = content[field]
    if not isinstance(value, list):
        raise UsageError(f"{field}: expected a list, got {describe(value)}")
    return value
