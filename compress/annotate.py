"""Which tensors of a graph are rounded to eight bits: the patterns that ONNX Runtime fuses.

ONNX Runtime replaces an operator by its integer twin when every input comes out of a DequantizeLinear and
its output goes into a QuantizeLinear (docs/execution-providers and ``qdq_transformer`` in its sources):
``QLinearConv``, ``QGemm``, ``QLinearAdd``, ``QLinearConcat``, ``QLinearAveragePool``. A ReLU in front of the
QuantizeLinear vanishes in it.
"""

from __future__ import annotations

from collections.abc import Callable

from torch.fx import Graph, Node

from lifecycle.compress.fold import unscaled_batch_norm
from lifecycle.compress.graphs import (
    ACTIVATIONS,
    ADDITIONS,
    AVERAGES,
    CONVOLUTIONS,
    DROPOUTS,
    JOINS,
    LINEAR,
    MOVES,
    arguments,
    is_float,
    only_user,
)
from lifecycle.compress.marks import Marks


def annotate(graph: Graph, marks: Marks) -> int:
    """Mark the tensors to round; gives the number of convolutions and linear layers among the marked.

    Args:
        graph: In the form of `lifecycle.compress.capture`.
        marks: Where to say so.
    """
    layers = 0
    for node in graph.nodes:
        if node.op != "call_function" or not is_float(node):
            continue
        if node.target in CONVOLUTIONS | LINEAR:
            layers += _annotate_layer(node, marks)
        elif node.target in ADDITIONS | JOINS:
            _annotate_meeting(node, marks)
        elif node.target in AVERAGES and marks.rounded(arguments(node)[0]):
            marks.inputs(node, [arguments(node)[0]])
            marks.output(node)
        elif node.target in MOVES and marks.rounded(arguments(node)[0]):
            marks.passes(node, arguments(node)[0])
    return layers


def _annotate_layer(layer: Node, marks: Marks) -> bool:
    x, weight = arguments(layer)[:2]
    if not isinstance(weight, Node) or weight.op == "placeholder" or not is_float(x):
        return False
    # Dropout passes on in training what is not rounded to the same steps, and nothing is there afterwards.
    if not (x.target in DROPOUTS and marks.rounded(arguments(x)[0])):
        marks.inputs(layer, [x])
    marks.weight(layer, weight)
    last = _tail(layer, lambda node: node.target is unscaled_batch_norm or node.target in ACTIVATIONS)
    # The scores of a classifier stay floats: ONNX Runtime's integer matrix product can give them as such.
    if not (layer.target in LINEAR and _is_output(last)):
        marks.output(last)
    return True


def _annotate_meeting(node: Node, marks: Marks) -> None:
    inputs = [other for other in node.all_input_nodes if is_float(other)]
    if len(inputs) != len(node.all_input_nodes) or len(inputs) < 2 or not any(map(marks.rounded, inputs)):
        return
    marks.inputs(node, inputs)
    marks.output(_tail(node, lambda other: other.target in ACTIVATIONS))


def _tail(node: Node, belongs: Callable[[Node], bool]) -> Node:
    """The last of a chain of nodes, each the only user of the one before, that compute with it."""
    while (user := only_user(node)) is not None and belongs(user):
        node = user
    return node


def _is_output(node: Node) -> bool:
    return any(user.op == "output" for user in node.users)
