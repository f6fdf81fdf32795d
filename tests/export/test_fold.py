from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from lifecycle.export.fold import fold_quantized_
from lifecycle.export.graph import compact_


def model() -> onnx.ModelProto:
    """A linear layer whose float weight is quantized, limited and dequantized in the graph."""
    generator = np.random.default_rng(0)
    weight = generator.normal(size=(6, 4)).astype(np.float32)
    constants = {
        "weight": weight,
        "scale": (np.abs(weight).max(axis=0) / 128).astype(np.float32),
        "zero": np.zeros(4, np.int8),
        "low": np.array(-127, np.int8),
        "high": np.array(127, np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["weight", "scale", "zero"], ["integers"], axis=1),
        helper.make_node("Clip", ["integers", "low", "high"], ["limited"]),
        helper.make_node("DequantizeLinear", ["limited", "scale", "zero"], ["floats"], axis=1),
        helper.make_node("MatMul", ["x", "floats"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])],
        initializer=[numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def test_integers_take_the_place_of_the_floats_they_came_from() -> None:
    before, after = model(), model()
    fold_quantized_(after)
    compact_(after)
    onnx.checker.check_model(after, full_check=True)
    assert [node.op_type for node in after.graph.node] == ["DequantizeLinear", "MatMul"]
    types = sorted((tensor.data_type, list(tensor.dims)) for tensor in after.graph.initializer)
    assert types == [(TensorProto.FLOAT, [4]), (TensorProto.INT8, [4]), (TensorProto.INT8, [6, 4])]
    x = np.random.default_rng(1).normal(size=(3, 6)).astype(np.float32)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    results = [
        ort.InferenceSession(item.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(
            None, {"x": x}
        )[0]
        for item in (before, after)
    ]
    np.testing.assert_array_equal(*results)
