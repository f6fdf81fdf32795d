"""Names for weights that conversion rearranged: transposed for layers over sequences, stacked for an LSTM."""

from __future__ import annotations

import ast

from onnx import ModelProto, NodeProto

_SCOPES = (
    "pkg.torch.onnx.name_scopes"  # modules from the outermost to the operator, as a list in Python's form
)
_LAYERS = frozenset({"Conv", "Gemm", "GRU", "LSTM", "MatMul"})


def name_layers_(model: ModelProto, prefix: str) -> set[str]:
    """Call the nameless weight of a layer after the module that it belongs to; gives the new names.

    Args:
        model: As the exporter made it; where it does not note modules, nothing is renamed.
        prefix: What stands before the names of parameters, ``"module."``.
    """
    names = {tensor.name: tensor.name for tensor in model.graph.initializer}
    made: set[str] = set()
    for node in model.graph.node:
        layer = _layer(node) if node.op_type in _LAYERS else ""
        weight, name = node.input[1] if layer else "", f"{layer}.weight"
        nameless = names.get(weight) == weight and not weight.startswith(prefix)
        if nameless and layer.startswith(prefix) and name not in names.values():
            names[weight] = name
            made.add(name)
    for tensor in model.graph.initializer:
        tensor.name = names[tensor.name]
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    return made


def _layer(node: NodeProto) -> str:
    noted = {item.key: item.value for item in node.metadata_props}.get(_SCOPES, "[]")
    scopes = ast.literal_eval(noted)
    return str(scopes[-2]) if len(scopes) > 1 else ""
