"""Messages of the Open Inference Protocol (V2) to and from arrays.

https://github.com/kserve/open-inference-protocol, ``specification/protocol/inference_rest.md``, and the
extensions of `EXTENSIONS`. Parameters that are not known here are let pass, as the protocol wants it; those
that ask for what is not served (shared memory, Triton's classification) are refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from lifecycle.core.canonical import JSON
from lifecycle.core.errors import UsageError, suggest
from lifecycle.core.signature import Array, Signature, TensorSpec, shape_text
from lifecycle.serve.protocol.binary import Tail, decode_bytes, encode_bytes
from lifecycle.serve.protocol.codec import (
    Parsed,
    check_datatype,
    datatype_of,
    datatype_of_array,
    decode_values,
    describe,
    may_hold_booleans,
    parse_json,
)
from lifecycle.serve.protocol.fields import NOTHING, flag_of, list_of, parameters_of, timeout_of
from lifecycle.serve.protocol.numbers import LONG, UnusualError, read_message, takes

if TYPE_CHECKING:
    from lifecycle.serve.endpoint import Endpoint

EXTENSIONS = ("binary_tensor_data", "statistics")
_NO_TAIL = memoryview(b"")


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """One output that is asked for.

    Attributes:
        name: Of the signature's.
        binary: As bytes behind the JSON.
    """

    name: str
    binary: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class InferRequest:
    """One decoded request.

    Attributes:
        id: To be given back, None when the client sent none.
        arrays: Inputs by name.
        outputs: What is wanted, in the order of the answer.
        timeout_s: How long it may wait for its turn; None when the client did not say.
    """

    id: str | None
    arrays: Mapping[str, Array]
    outputs: tuple[Wanted, ...]
    timeout_s: float | None


def server_metadata(version: str) -> dict[str, JSON]:
    """Answer to ``GET /v2``.

    Args:
        version: Of the server program.
    """
    return {"name": "lifecycle", "version": version, "extensions": list(EXTENSIONS)}


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


def model_statistics(endpoint: Endpoint, counted: Mapping[str, JSON]) -> dict[str, JSON]:
    """One entry of the answer to ``GET /v2/models/NAME/stats``.

    Args:
        endpoint: Whose they are.
        counted: As of `lifecycle.serve.batching.statistics`.
    """
    return {"name": endpoint.name, "version": endpoint.version, **counted, "memory_usage": []}


class Decoder:
    """Reads inference requests of one model.

    Args:
        signature: Of the model.
    """

    def __init__(self, signature: Signature) -> None:
        self._inputs = {spec.name: spec for spec in signature.inputs}
        self._outputs = {spec.name: spec for spec in signature.outputs}
        self._quick = all(takes(spec.dtype) for spec in signature.inputs)
        self._where = {name: f"input '{name}'" for name in self._inputs}
        self._all = {
            binary: tuple([Wanted(name=name, binary=binary) for name in self._outputs])
            for binary in (False, True)
        }

    def decode_text(self, text: bytes, tail: memoryview = _NO_TAIL) -> InferRequest:
        """Read one as it arrived.

        Args:
            text: The JSON.
            tail: The bytes behind it, which the arrays share.

        Raises:
            UsageError: a field is missing or wrong, or names something that the model does not have.
            MalformedError: it is no JSON.
        """
        if self._quick and len(text) >= LONG:
            with suppress(UnusualError):
                return self.decode(read_message(text), tail)
        return self.decode(parse_json(text), tail, booleans=may_hold_booleans(text))

    def decode(self, content: Parsed, tail: memoryview = _NO_TAIL, *, booleans: bool = True) -> InferRequest:
        """Read one.

        Args:
            content: The JSON.
            tail: The bytes behind the JSON, which the arrays share.
            booleans: Whether true or false may occur in the JSON.

        Raises:
            UsageError: a field is missing or wrong, or names something that the model does not have.
        """
        if not isinstance(content, dict):
            raise UsageError(f"the body: expected an object with 'inputs', got {describe(content)}")
        identifier = content.get("id")
        if identifier is not None and not isinstance(identifier, str):
            raise UsageError(f"id: expected a text, got {describe(identifier)}")
        parameters = parameters_of(content, "the request") if "parameters" in content else NOTHING
        binary = flag_of(parameters, "binary_data_output", "the request") if parameters else False
        arrays = self._decode_inputs(list_of(content, "inputs"), tail, booleans)
        return InferRequest(
            id=identifier,
            arrays=arrays,
            outputs=self._decode_outputs(content, binary) if "outputs" in content else self._all[binary],
            timeout_s=timeout_of(parameters) if parameters else None,
        )

    def _decode_inputs(self, tensors: list[Parsed], tail: memoryview, booleans: bool) -> dict[str, Array]:
        arrays: dict[str, Array] = {}
        rest = Tail(tail)
        for at, tensor in enumerate(tensors):
            name = tensor.get("name") if isinstance(tensor, dict) else None
            spec = self._inputs.get(name) if isinstance(name, str) else None
            if spec is None or not isinstance(tensor, dict):
                raise _misnamed(tensor, f"inputs[{at}]", self._inputs)
            if spec.name in arrays:
                raise UsageError(f"input '{name}' is given twice")
            arrays[spec.name] = _decode_input(tensor, spec, self._where[spec.name], rest, booleans)
        rest.check_empty()
        return arrays

    def _decode_outputs(self, content: Mapping[str, Parsed], binary: bool) -> tuple[Wanted, ...]:
        """All outputs unless some are named; `binary` where an output does not say."""
        wanted: dict[str, Wanted] = {}
        for at, tensor in enumerate(list_of(content, "outputs")):
            name = tensor.get("name") if isinstance(tensor, dict) else None
            if not isinstance(tensor, dict) or not isinstance(name, str) or name not in self._outputs:
                raise _misnamed(tensor, f"outputs[{at}]", self._outputs)
            where = f"output '{name}'"
            if name in wanted:
                raise UsageError(f"{where} is asked for twice")
            as_bytes = flag_of(parameters_of(tensor, where), "binary_data", where, otherwise=binary)
            wanted[name] = Wanted(name=name, binary=as_bytes)
        return tuple(wanted.values()) or self._all[binary]


def encode_answer(
    endpoint: Endpoint, request: InferRequest, arrays: Mapping[str, Array]
) -> tuple[dict[str, object], list[bytes | memoryview]]:
    """The JSON of an answer and the bytes that go behind it, of the outputs that were asked for.

    Data is flat, in row-major order.
    """
    answer: dict[str, object] = {"model_name": endpoint.name, "model_version": endpoint.version}
    if request.id is not None:
        answer["id"] = request.id
    answer["parameters"] = {"digest": endpoint.digest}
    outputs: list[dict[str, object]] = []
    tail: list[bytes | memoryview] = []
    for wanted in request.outputs:
        array = arrays[wanted.name]
        output: dict[str, object] = {
            "name": wanted.name,
            "datatype": datatype_of_array(array),
            "shape": list(array.shape),
        }
        if wanted.binary:
            tail.append(encode_bytes(array))
            output["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            output["data"] = array.ravel()
        outputs.append(output)
    answer["outputs"] = outputs
    return answer, tail


def _tensor_metadata(spec: TensorSpec) -> dict[str, JSON]:
    shape: list[JSON] = [axis if isinstance(axis, int) else -1 for axis in spec.shape]
    return {"name": spec.name, "datatype": datatype_of(spec.dtype), "shape": shape}


def _decode_input(
    tensor: Mapping[str, Parsed], spec: TensorSpec, where: str, tail: Tail, booleans: bool
) -> Array:
    size: Parsed = 0
    if "parameters" in tensor:
        size = parameters_of(tensor, where).get("binary_data_size", 0)
        if type(size) is not int or size < 0:
            got = describe(size)
            raise UsageError(f"{where}: expected a number of bytes for 'binary_data_size', got {got}")
    for field in ("shape", "datatype"):
        if field not in tensor:
            raise UsageError(f"{where}: '{field}' is missing")
    if "data" in tensor and size:
        raise UsageError(f"{where}: has 'data' and 'binary_data_size' {size}; send one of them")
    if "data" not in tensor and not size:
        raise UsageError(f"{where}: 'data' is missing")
    check_datatype(tensor["datatype"], spec.dtype, where)
    shape = _decode_shape(tensor["shape"], spec, where)
    if size:
        return decode_bytes(tail.take(cast(int, size), where), shape, spec.dtype, where)
    return decode_values(tensor["data"], shape, spec.dtype, where, booleans=booleans)


def _decode_shape(value: Parsed, spec: TensorSpec, where: str) -> tuple[int, ...]:
    if isinstance(value, list) and len(value) == len(spec.shape):
        for want, got in zip(spec.shape, value, strict=True):
            if type(got) is not int or got < 0 or (got != want and isinstance(want, int)):
                break
        else:
            return tuple(cast("list[int]", value))
    raise _misshapen(value, spec, where)


def _misshapen(value: Parsed, spec: TensorSpec, where: str) -> UsageError:
    expected = f"{where}: expected shape {shape_text(spec.shape)}"
    if not isinstance(value, list):
        return UsageError(f"{expected}, got {describe(value)}")
    sizes = []
    for size in value:
        if type(size) is not int or size < 0:
            return UsageError(f"{expected}, got {describe(size)} as the size of an axis")
        sizes.append(size)
    shape = tuple(sizes)
    if len(shape) != len(spec.shape):
        return UsageError(f"{expected}, got {len(shape)} axes: {shape_text(shape[:16])}")
    return UsageError(f"{expected}, got {shape_text(shape)}")


def _misnamed(tensor: Parsed, where: str, specs: Mapping[str, TensorSpec]) -> UsageError:
    """Why an entry is none of `specs`."""
    if not isinstance(tensor, dict):
        return UsageError(f"{where}: expected an object with a 'name', got {describe(tensor)}")
    name = tensor.get("name")
    if not isinstance(name, str):
        return UsageError(f"{where}: expected a text for 'name', got {describe(name)}")
    return UsageError(f"{where}: no such name {describe(name)}; {suggest(name[:100], specs)}")
