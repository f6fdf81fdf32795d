"""Quantizing constants when the file is written: it is to hold integers, not the floats they came from."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

_FOLDED = frozenset({"QuantizeLinear", "Clip"})


def fold_quantized_(model: ModelProto) -> None:
    """Compute every ``QuantizeLinear`` and ``Clip`` of constants, in place, by ONNX's reference."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    kept = []
    for node in graph.node:
        if node.op_type in _FOLDED and all(name in constants for name in node.input if name):
            tensor = _computed(node, constants, model)
            constants[tensor.name] = tensor
            graph.initializer.append(tensor)
        else:
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)


def _computed(node: NodeProto, constants: dict[str, TensorProto], model: ModelProto) -> TensorProto:
    inputs = {name: constants[name] for name in node.input if name}
    graph = helper.make_graph(
        [node],
        "constant",
        [],
        [helper.make_empty_tensor_value_info(node.output[0])],
        initializer=list(inputs.values()),
    )
    alone = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    (value,) = ReferenceEvaluator(alone).run(None, {})
    return numpy_helper.from_array(np.asarray(value), node.output[0])
