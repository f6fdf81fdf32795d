"""Looking at an ONNX file before a runtime opens it: what is in it is not trusted.

A file can name other files to read, declare tensors of any size, and ask for operators that a library brings.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from lifecycle.core.errors import ArtifactError

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
"""Operators that ONNX specifies, and those that every ONNX Runtime brings."""
ELEMENTS_LIMIT = 2**31
"""No tensor of a sensible network has so many elements: 8 GB of floats."""
_MAKES_SHAPE = {"ConstantOfShape": 0, "Expand": 1}


def parse(path: Path, content: bytes) -> ModelProto:
    """Read the structure of a file, none of the files that it may name.

    Raises:
        ArtifactError: it is not ONNX.
    """
    import onnx

    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's DecodeError, which has no public home
        raise ArtifactError(f"{path} is not an ONNX file: {error}", hint=_RESTORE) from error
    if not model.opset_import:
        raise ArtifactError(
            f"{path} is not an ONNX file: it names no operator set; it is empty or cut short", hint=_RESTORE
        )
    return model


def inspect(path: Path, model: ModelProto, allowed_domains: frozenset[str] = frozenset()) -> bool:
    """Refuse what a file must not ask for; whether it keeps tensors in other files of its folder.

    Args:
        path: Where it lies.
        model: From `parse`.
        allowed_domains: Of operators, beside `DOMAINS`.

    Raises:
        ArtifactError: data outside its folder, absurd sizes, or operators that were not allowed.
    """
    from lifecycle.export.graph import nodes, tensors

    known = DOMAINS | allowed_domains | {function.domain for function in model.functions}
    for node in nodes(model):
        if node.domain not in known:
            raise ArtifactError(
                f"{path}: operator {node.domain}.{node.op_type} is not ONNX's own",
                hint=f"If you trust it: RunSettings(custom_domains=frozenset({{'{node.domain}'}})).",
            )
    external = False
    for tensor in tensors(model):
        external |= _check_tensor(path, tensor)
    _check_shapes(path, model)
    return external


def _check_tensor(path: Path, tensor: TensorProto) -> bool:
    """Whether the tensor lies in another file."""
    import onnx

    dims = list(tensor.dims)
    if any(size < 0 for size in dims) or prod(dims) > ELEMENTS_LIMIT:
        raise ArtifactError(f"{path}: tensor '{tensor.name}' claims the shape {dims}", hint=_RESTORE)
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        _check_location(path, tensor)
        return True
    width = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize if tensor.raw_data else 0
    packed = tensor.data_type in (onnx.TensorProto.INT4, onnx.TensorProto.UINT4)
    if width and not packed and prod(dims) * width != len(tensor.raw_data):
        raise ArtifactError(
            f"{path}: tensor '{tensor.name}' claims the shape {dims} and holds {len(tensor.raw_data)} bytes",
            hint=_RESTORE,
        )
    return False


def _check_location(path: Path, tensor: TensorProto) -> None:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    way = PurePosixPath(location)
    if not location or way.is_absolute() or len(way.parts) != 1 or "\\" in location or location == "..":
        raise ArtifactError(
            f"{path}: tensor '{tensor.name}' lies in '{location}', outside the file's own folder",
            hint="Save it again with its data beside it, or in it.",
        )
    file = path.parent / location
    if file.is_symlink() or not file.is_file():
        state = "a link" if file.is_symlink() else "not there"
        raise ArtifactError(f"{path}: its data file '{location}' is {state}", hint=_RESTORE)
    end = int(entries.get("offset", 0)) + int(entries.get("length", 0))
    if end > file.stat().st_size:
        raise ArtifactError(
            f"{path}: tensor '{tensor.name}' ends at byte {end} of '{location}', which has "
            f"{file.stat().st_size}",
            hint=_RESTORE,
        )


def _check_shapes(path: Path, model: ModelProto) -> None:
    """Shapes that are written in the file, of tensors that a call would have to allocate."""
    import onnx

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in _allocating(model):
        position = _MAKES_SHAPE[node.op_type]
        tensor = constants.get(node.input[position]) if len(node.input) > position else None
        if tensor is None or tensor.external_data:
            continue
        sizes = [int(size) for size in onnx.numpy_helper.to_array(tensor).ravel()]
        if prod(max(1, size) for size in sizes) > ELEMENTS_LIMIT:
            raise ArtifactError(f"{path}: {node.op_type} '{node.output[0]}' makes a tensor of shape {sizes}")
    for value in (*model.graph.input, *model.graph.output):
        sizes = [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        if prod(max(1, size) for size in sizes) > ELEMENTS_LIMIT:
            raise ArtifactError(f"{path}: '{value.name}' claims the shape {sizes}")


def _allocating(model: ModelProto) -> Iterator[NodeProto]:
    from lifecycle.export.graph import nodes

    return (node for node in nodes(model) if node.op_type in _MAKES_SHAPE)


_RESTORE = "Restore the file from the bundle that it was made in, or export it again."
