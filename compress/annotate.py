"""Which tensors of a graph are rounded to eight bits: the patterns that ONNX Runtime fuses.

ONNX Runtime replaces an operator by its integer twin when every input comes out of a DequantizeLinear and
its output goes into a QuantizeLinear (docs/execution-providers and ``qdq_transformer`` in its sources):
``QLinearConv``, ``QGemm``, ``QLinearMatMul``, ``QLinearAdd``, ``QLinearMul``, ``QLinearConcat``,
``QLinearAveragePool``, ``QLinearSigmoid``, ``QLinearLeakyRelu``. A ReLU in front of the QuantizeLinear
vanishes in it. Matrix products may give floats too (``QGemm`` without an output scale,
``MatMulIntegerToFloat``).
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
    CURVES,
    DROPOUTS,
    FLOAT_CURVES,
    JOINS,
    LINEAR,
    MOVES,
    MULTIPLICATIONS,
    PRODUCTS,
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
        if node.op != "call_function" or not is_float(node) or not marks.allowed(node):
            continue
        if node.target in CONVOLUTIONS | LINEAR:
            layers += _annotate_layer(node, marks)
        elif node.target in PRODUCTS:
            layers += _annotate_product(node, marks)
        elif node.target in ADDITIONS | MULTIPLICATIONS | JOINS:
            _annotate_meeting(node, marks)
        elif node.target in AVERAGES | CURVES and marks.rounded(arguments(node)[0]):
            marks.inputs(node, [arguments(node)[0]])
            marks.output(node)
        elif node.target in FLOAT_CURVES and marks.rounded(arguments(node)[0]):
            marks.output(node)  # a layer reads it as integers anyway: then pooling and gates may as well
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
    # ONNX Runtime's integer matrix product can give floats, its convolution cannot. What a linear layer gives
    # is rounded where another one takes it; scores, and the residual stream of a transformer, stay floats.
    if layer.target in CONVOLUTIONS:
        marks.output(last)
    return True


def _annotate_product(node: Node, marks: Marks) -> bool:
    """Attention: both factors are computed, and what comes out goes into a softmax or a layer."""
    factors = arguments(node)
    if not all(is_float(factor) for factor in factors) or len(set(factors)) < len(factors):
        return False
    marks.inputs(node, factors)
    return True


def _annotate_meeting(node: Node, marks: Marks) -> None:
    inputs = node.all_input_nodes
    if len(inputs) < 2 or not any(map(marks.rounded, inputs)):
        return
    if all(is_float(other) and _comes_as_integers(other, marks) for other in inputs):
        marks.inputs(node, inputs)
        marks.output(_tail(node, lambda other: other.target in ACTIVATIONS))


def _comes_as_integers(node: Node, marks: Marks) -> bool:
    """Whether rounding `node` for one more reader costs nothing: it is rounded already, or a constant."""
    convolved = any(user.target in CONVOLUTIONS and arguments(user)[0] is node for user in node.users)
    return marks.rounded(node) or node.op == "get_attr" or convolved


def _tail(node: Node, belongs: Callable[[Node], bool]) -> Node:
    """The last of a chain of nodes, each the only user of the one before, that compute with it."""
    while (user := only_user(node)) is not None and belongs(user):
        node = user
    return node
