"""The last step of a converted graph: biases as integers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from lifecycle.compress.graphs import LINEAR, arguments, tensor_at, tensor_node

Q = torch.ops.quantized_decomposed
LIMIT = 2**31 - 1


def round_biases_(graph: GraphModule) -> None:
    """Store the bias of every integer linear layer as int32, in steps of input scale times weight scale.

    For convolutions ONNX Runtime does so by itself; for ``Gemm`` only where the output is rounded too,
    and without it computes in floats. The scores of a classifier are not rounded.
    """
    layers = [node for target in LINEAR for node in graph.graph.find_nodes(op="call_function", target=target)]
    for layer in layers:
        step = _step(graph, layer)
        if step is None or len(layer.args) < 3 or layer.args[2] is None:
            continue
        bias = tensor_at(graph, arguments(layer)[2])
        integers = (bias.double() / step.double()).round().clamp(-LIMIT, LIMIT).to(torch.int32)
        with graph.graph.inserting_before(layer):
            name = f"rounded_bias_{layer.name}"
            tensors = [
                tensor_node(graph, name, integers),
                tensor_node(graph, f"{name}_scale", step),
                tensor_node(graph, f"{name}_zero_point", torch.zeros_like(integers)),
            ]
            options = (0, -LIMIT - 1, LIMIT, torch.int32)
            rounded = graph.graph.call_function(Q.dequantize_per_channel.default, (*tensors, *options))
        layer.update_arg(2, rounded)
    graph.graph.eliminate_dead_code()
    graph.recompile()


def _step(graph: GraphModule, layer: Node) -> Tensor | None:
    """What one step of the layer's integer sums is worth, ``[channels]``; None where it has no integers."""
    x, weight = arguments(layer)[:2]
    if x.target is not Q.dequantize_per_tensor.default:
        return None
    if weight.target is not Q.dequantize_per_channel.default:
        return None
    return tensor_at(graph, weight.args[1]) * float(x.args[1])
