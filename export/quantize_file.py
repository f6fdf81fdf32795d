"""Quantizing a written ONNX file with ONNX Runtime's tools: the adapter around them (ADR-0008)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto

from lifecycle.core.canonical import JSON
from lifecycle.core.errors import RefusedError, UsageError
from lifecycle.core.signature import Array
from lifecycle.export.graph import compact_

# What ONNX Runtime has integers for, and what only moves or clips values between them.
STATIC = (
    "Conv", "Gemm", "MatMul", "Add", "Mul", "Concat", "MaxPool", "AveragePool", "GlobalAveragePool",
    "Relu", "Clip", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Resize",
)  # fmt: skip
# Integer convolutions with ranges found at every call are slower than those in float, so they stay.
DYNAMIC = ("MatMul", "LSTM")
LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM"})
Edit = Mapping[str, JSON]


def quantize_file(path: Path, edits: Sequence[Edit]) -> None:
    """Do what compression recorded to a file, in place: it is written aside and renamed.

    Args:
        path: An ONNX file of floats, as `lifecycle.export.to_onnx` writes it.
        edits: Records of `lifecycle.compress.file_edit.FileEdit`.

    Raises:
        UsageError: a layer that is to stay in float is not found.
        RefusedError: ranges are of another file, or nothing became integers.
    """
    for edit in edits:
        model = onnx.load(path)
        parameters = frozenset(t.name for t in model.graph.initializer if "." in t.name)
        said = list(model.metadata_props)
        quantized = _quantized(_named_nodes(model), edit)
        compact_(quantized, parameters)
        quantized.metadata_props.extend(said)
        onnx.checker.check_model(quantized, full_check=True)
        aside = path.with_name(f".{path.name}.new")
        aside.write_bytes(quantized.SerializeToString(deterministic=True))
        aside.replace(path)


def watch_activations(path: Path) -> Callable[[Mapping[str, Array]], dict[str, Array]]:
    """A function that runs a file of floats and gives every activation by its name, inputs among them.

    Args:
        path: An ONNX file.
    """
    import onnxruntime as ort

    from lifecycle.export.session import session_options

    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    known = {value.name for value in model.graph.output}
    floats = [value for value in model.graph.value_info if _is_float(value) and value.name not in known]
    model.graph.output.extend(floats)
    names = [value.name for value in model.graph.output if _is_float(value)]
    inputs = [value.name for value in model.graph.input if _is_float(value)]
    content = model.SerializeToString()
    session = ort.InferenceSession(content, session_options(), providers=["CPUExecutionProvider"])

    def run(arrays: Mapping[str, Array]) -> dict[str, Array]:
        found = dict(zip(names, session.run(names, dict(arrays)), strict=True))
        return found | {name: arrays[name] for name in inputs}

    return run


def _is_float(value: onnx.ValueInfoProto) -> bool:
    return bool(value.type.tensor_type.elem_type == TensorProto.FLOAT)


def _named_nodes(model: ModelProto) -> ModelProto:
    """Nodes of our files have no names, and ONNX Runtime knows them by those."""
    for index, node in enumerate(model.graph.node):
        node.name = f"n{index}"
    # Says that shapes were inferred and nothing is left to fold; else a notice goes to the root logger.
    model.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    return model


def _quantized(model: ModelProto, edit: Edit) -> ModelProto:
    with TemporaryDirectory() as folder:
        target = Path(folder) / "quantized.onnx"
        options = {
            "per_channel": True,
            "reduce_range": edit["weight_bits"] == 7,
            "nodes_to_exclude": _kept_nodes(model, cast("Sequence[str]", edit["keep_float"])),
        }
        before = _integer_weights(model)
        if edit["method"] == "dynamic":
            _quantize_dynamic(model, target, options)
        else:
            _quantize_static(model, target, options, edit)
        quantized = onnx.load(target)
    if _integer_weights(quantized) == before:
        kinds = ", ".join(sorted({node.op_type for node in model.graph.node} & LAYERS)) or "none"
        raise RefusedError(
            f"{edit['method']} quantization of the file finds nothing to quantize; its layers are: {kinds}",
            hint="Dynamic quantization is for linear and LSTM layers; use method: static for convolutions.",
        )
    return quantized


def _quantize_dynamic(model: ModelProto, target: Path, options: dict[str, Any]) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        model, target, op_types_to_quantize=list(DYNAMIC), weight_type=QuantType.QInt8, **options
    )


def _quantize_static(model: ModelProto, target: Path, options: dict[str, Any], edit: Edit) -> None:
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.calibrate import TensorsData, save_tensors_data

    ranges = cast("Mapping[str, Sequence[float]]", edit["ranges"])
    missing = _activations(model) - ranges.keys()
    if missing:
        raise RefusedError(
            f"the recorded ranges are not of this file: '{min(missing)}' has none",
            hint="The checkpoint was quantized by other versions of torch or onnxscript; quantize it again.",
        )
    cache = target.with_name("ranges.json")
    ends = {name: (np.float32(low), np.float32(high)) for name, (low, high) in ranges.items()}
    save_tensors_data(TensorsData(CalibrationMethod.MinMax, ends), cache)
    quantize_static(
        model,
        target,
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=list(STATIC),
        activation_type=QuantType.QUInt8 if edit["activations"] == "uint8" else QuantType.QInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
        calibration_cache_path=cache,
        **options,
    )


def _activations(model: ModelProto) -> set[str]:
    """What layers with weights take and give, as far as it is computed."""
    constants = {tensor.name for tensor in model.graph.initializer}
    layers = [node for node in model.graph.node if node.op_type in {"Conv", "Gemm", "MatMul"}]
    return {name for node in layers for name in (node.input[0], *node.output)} - constants


def _kept_nodes(model: ModelProto, names: Sequence[str]) -> list[str]:
    """Names of the nodes that compute certain layers, which are known by the names of their parameters."""
    users: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    kept = []
    for layer in names:
        found = [node for key, nodes in users.items() if key.rpartition(".")[0] == layer for node in nodes]
        if not found:
            raise UsageError(
                f"keep_float: the file has no parameter of '{layer}': it cannot be told from others",
                hint="Name another layer, or leave it out.",
            )
        # ONNX Runtime makes another node of a Gemm and asks again, by its new name.
        kept += [name for node in found for name in (node.name, f"{node.name}_MatMul")]
    return kept


def _integer_weights(model: ModelProto) -> int:
    return sum(
        tensor.data_type == TensorProto.INT8 and len(tensor.dims) > 1 for tensor in model.graph.initializer
    )
