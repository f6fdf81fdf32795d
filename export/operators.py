"""What an ONNX file computes with: integer weights in it, and the operators that ONNX Runtime makes of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
from onnx import ModelProto, NodeProto, TensorProto

from lifecycle.export.graph import nodes, tensors
from lifecycle.export.session import session_options

CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})
LINEARS = frozenset({"Gemm", "MatMul", "MatMulInteger"})


@dataclass(frozen=True, kw_only=True)
class QuantizedWeights:
    """How many layers hold their weight as an INT8 initializer behind ``DequantizeLinear``.

    Attributes:
        convolutions: ``Conv`` and ``ConvTranspose``.
        quantized_convolutions: Those of them with such a weight.
        linears: ``Gemm``, and ``MatMul`` with a constant.
        quantized_linears: Those of them with such a weight.
        others: The layers without, by the name of their output.
    """

    convolutions: int
    quantized_convolutions: int
    linears: int
    quantized_linears: int
    others: tuple[str, ...]


def quantized_weights(path: Path) -> QuantizedWeights:
    """Look at the weights of every convolution and linear layer of a file."""
    model = onnx.load(path, load_external_data=False)
    constants = {tensor.name: tensor for tensor in tensors(model)}
    made_by = {output: node for node in nodes(model) for output in node.output}
    layers = [
        (node, node.op_type == "MatMulInteger" or _is_integer(node.input[1], constants, made_by))
        for node in nodes(model)
        if node.op_type in CONVOLUTIONS or (node.op_type in LINEARS and _is_layer(node, constants, made_by))
    ]
    convolutions = [quantized for node, quantized in layers if node.op_type in CONVOLUTIONS]
    linears = [quantized for node, quantized in layers if node.op_type in LINEARS]
    return QuantizedWeights(
        convolutions=len(convolutions),
        quantized_convolutions=sum(convolutions),
        linears=len(linears),
        quantized_linears=sum(linears),
        others=tuple(node.output[0] for node, quantized in layers if not quantized),
    )


def runtime_operators(path: Path) -> Counter[str]:
    """Count the operators that ONNX Runtime runs on this machine after all of its rewriting.

    ``QLinearConv`` is a convolution in integers; ``Conv`` behind ``DequantizeLinear`` stayed float.
    """
    return Counter(node.op_type for node in nodes(_rewritten(path)))


def _rewritten(path: Path) -> ModelProto:
    import onnxruntime as ort

    with TemporaryDirectory() as folder:
        options = session_options()
        options.optimized_model_filepath = str(Path(folder) / "rewritten.onnx")
        ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return onnx.load(options.optimized_model_filepath)


def _is_layer(node: NodeProto, constants: dict[str, TensorProto], made_by: dict[str, NodeProto]) -> bool:
    """Attention multiplies two computed tensors: that is no layer with a weight."""
    return node.op_type == "Gemm" or _source(node.input[1], made_by)[0] in constants


def _is_integer(name: str, constants: dict[str, TensorProto], made_by: dict[str, NodeProto]) -> bool:
    source, dequantized = _source(name, made_by)
    return dequantized and source in constants and constants[source].data_type == TensorProto.INT8


def _source(name: str, made_by: dict[str, NodeProto]) -> tuple[str, bool]:
    """Where a weight comes from through transposition and dequantization, and whether through the latter."""
    dequantized = False
    while name in made_by and made_by[name].op_type in {"DequantizeLinear", "Transpose", "Reshape"}:
        dequantized = dequantized or made_by[name].op_type == "DequantizeLinear"
        name = made_by[name].input[0]
    return name, dequantized
