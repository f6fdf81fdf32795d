"""Small real ONNX models, sealed as the bundles that export makes."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from lifecycle.core.artifact import Artifact, Draft
from lifecycle.core.canonical import readable_json
from lifecycle.core.signature import Array, Signature, TensorSpec

Floats = npt.NDArray[np.float32]
LABELS = tuple("0123456789")


def weights() -> Floats:
    """Of the digits model: 64 inputs, 10 classes."""
    return np.random.default_rng(0).normal(scale=0.05, size=(64, 10)).astype(np.float32)


def expected_logits(images: npt.NDArray[np.uint8]) -> Floats:
    """What the digits model answers, computed by numpy; (n, 1, 8, 8) to (n, 10)."""
    logits: Floats = images.reshape(len(images), 64).astype(np.float32) @ weights()
    return logits


def softmax(logits: Floats) -> Floats:
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    odds: Floats = exponents / exponents.sum(axis=1, keepdims=True)
    return odds


def digits_bundle(
    into: Path,
    *,
    labels: tuple[str, ...] = LABELS,
    matrix: Floats | None = None,
    bias: Floats | None = None,
    files: Mapping[str, bytes] | None = None,
    parent: Artifact | None = None,
) -> Artifact:
    """uint8 images (batch, 1, 8, 8) to ``logits`` and ``probabilities`` (batch, 10)."""
    nodes = [
        helper.make_node("Cast", ["image"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["numbers"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    signature = Signature(
        inputs=(TensorSpec(name="image", dtype="uint8", shape=("batch", 1, 8, 8), range=(0, 16)),),
        outputs=(
            TensorSpec(name="logits", dtype="float32", shape=("batch", 10)),
            TensorSpec(name="probabilities", dtype="float32", shape=("batch", 10)),
        ),
        labels=labels,
        task="classification",
    )
    constants = {
        "weights": weights() if matrix is None else matrix,
        "bias": np.zeros(10, np.float32) if bias is None else bias,
    }
    return bundle(into, nodes, signature, constants, files=files, parent=parent)


def log_bundle(into: Path) -> Artifact:
    """The logarithm of float32 pairs: minus infinity at 0, NaN below."""
    signature = Signature(
        inputs=(TensorSpec(name="x", dtype="float32", shape=("batch", 2)),),
        outputs=(TensorSpec(name="y", dtype="float32", shape=("batch", 2)),),
    )
    return bundle(into, [helper.make_node("Log", ["x"], ["y"])], signature, {})


def lookup_bundle(into: Path) -> Artifact:
    """Rows of a table of five by int64 indices (batch, length): an index of 5 is out of bounds."""
    signature = Signature(
        inputs=(TensorSpec(name="ids", dtype="int64", shape=("batch", "length")),),
        outputs=(TensorSpec(name="rows", dtype="float32", shape=("batch", "length", 3)),),
    )
    table = np.arange(15, dtype=np.float32).reshape(5, 3)
    return bundle(into, [helper.make_node("Gather", ["table", "ids"], ["rows"])], signature, {"table": table})


def identity_bundle(into: Path, dtype: str) -> Artifact:
    """Gives back what it takes: (batch, 2) of one type."""
    signature = Signature(
        inputs=(TensorSpec(name="x", dtype=dtype, shape=("batch", 2)),),
        outputs=(TensorSpec(name="y", dtype=dtype, shape=("batch", 2)),),
    )
    return bundle(into, [helper.make_node("Identity", ["x"], ["y"])], signature, {})


def mixing_bundle(into: Path) -> Artifact:
    """Pairs less the mean over the batch, (batch, 2): what a request gets depends on its company."""
    pair = ("batch", 2)
    signature = Signature(
        inputs=(TensorSpec(name="x", dtype="float32", shape=pair),),
        outputs=(TensorSpec(name="y", dtype="float32", shape=pair),),
    )
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=1),
        helper.make_node("Sub", ["x", "mean"], ["y"]),
    ]
    return bundle(into, nodes, signature, {"axes": np.array([0])})


def slow_bundle(into: Path, layers: int = 60) -> Artifact:
    """(batch, 512) through many products with one matrix: some milliseconds, and a batch hardly more."""
    signature = Signature(
        inputs=(TensorSpec(name="x", dtype="float32", shape=("batch", 512)),),
        outputs=(TensorSpec(name="y", dtype="float32", shape=("batch", 512)),),
    )
    names = ["x", *(f"x{layer}" for layer in range(1, layers)), "y"]
    nodes = [helper.make_node("MatMul", [taken, "weights"], [given]) for taken, given in pairwise(names)]
    matrix = np.random.default_rng(0).normal(scale=512**-0.5, size=(512, 512)).astype(np.float32)
    return bundle(into, nodes, signature, {"weights": matrix})


def dynamic_bundle(into: Path) -> Artifact:
    """(batch, 64) rounded to 256 steps between the least and the greatest number of the whole tensor."""
    shape = ("batch", 64)
    signature = Signature(
        inputs=(TensorSpec(name="x", dtype="float32", shape=shape),),
        outputs=(TensorSpec(name="y", dtype="float32", shape=shape),),
    )
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["steps", "scale", "zero"]),
        helper.make_node("DequantizeLinear", ["steps", "scale", "zero"], ["y"]),
    ]
    return bundle(into, nodes, signature, {})


def sum_bundle(into: Path) -> Artifact:
    """Two inputs, one output."""
    pair = ("batch", 2)
    signature = Signature(
        inputs=tuple(TensorSpec(name=name, dtype="float32", shape=pair) for name in ("left", "right")),
        outputs=(TensorSpec(name="total", dtype="float32", shape=pair),),
    )
    return bundle(into, [helper.make_node("Add", ["left", "right"], ["total"])], signature, {})


def bundle(
    into: Path,
    nodes: list[onnx.NodeProto],
    signature: Signature,
    constants: dict[str, Array],
    *,
    files: Mapping[str, bytes] | None = None,
    parent: Artifact | None = None,
) -> Artifact:
    """Write a graph and its signature, and further files, and seal them."""
    graph = helper.make_graph(
        nodes,
        "model",
        [_value(spec) for spec in signature.inputs],
        [_value(spec) for spec in signature.outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    with Draft(into) as draft:
        (draft.path / "model.onnx").write_bytes(model.SerializeToString())
        (draft.path / "signature.json").write_bytes(readable_json(signature.to_json()))
        for name, content in {"parity.json": readable_json({}), **(files or {})}.items():
            (draft.path / name).write_bytes(content)
        return draft.seal("bundle", parent=parent)


def _value(spec: TensorSpec) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(
        spec.name, helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype)), list(spec.shape)
    )
