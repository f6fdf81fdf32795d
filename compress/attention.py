"""Attention and layers over sequences, written as the matrix products that ONNX Runtime has integers for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.fx import GraphModule, Node

from lifecycle.compress.graphs import LINEAR, arguments

A = torch.ops.aten


def attention_as_products_(graph: GraphModule) -> None:
    """Write fused attention as two matrix products around a softmax, as its definition says.

    A causal one is left as it is, and one whose queries share keys: they stay in float.
    """
    for node in graph.graph.find_nodes(op="call_function", target=A.scaled_dot_product_attention.default):
        names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
        given = dict(zip(names, arguments(node), strict=False)) | node.kwargs
        if not given.get("is_causal") and not given.get("enable_gqa"):
            _replace_attention(node, given)
    graph.recompile()


def sequences_as_rows_(graph: GraphModule) -> None:
    """Let every linear layer see a matrix, samples and positions along one axis: ``Gemm`` has integer biases.

    ONNX knows a linear layer over more axes only as a product and an addition, the latter in floats.
    """
    for target in LINEAR:
        for node in graph.graph.find_nodes(op="call_function", target=target):
            x = arguments(node)[0]
            if x.meta["val"].dim() > 2:
                _as_rows(node, x)
    graph.recompile()


def _replace_attention(node: Node, given: dict[str, Any]) -> None:
    query, key, value = given["query"], given["key"], given["value"]
    scale = given.get("scale") or query.meta["val"].shape[-1] ** -0.5
    with node.graph.inserting_before(node):
        scaled = _call(A.mul.Tensor, query, float(scale))
        scores = _call(A.matmul.default, scaled, _call(A.transpose.int, key, -2, -1))
        mask = given.get("attn_mask")
        if mask is not None:
            scores = _masked(scores, mask)
        weights = _call(A.softmax.int, scores, -1)
        if given.get("dropout_p"):
            weights = _call(A.dropout.default, weights, given["dropout_p"], True)
        mixed = _call(A.matmul.default, weights, value)
    for made in (scores, weights, mixed):
        made.meta.update({name: item for name, item in node.meta.items() if name != "val"})
    node.replace_all_uses_with(mixed)
    node.graph.erase_node(node)


def _masked(scores: Node, mask: Node) -> Node:
    if mask.meta["val"].dtype is not torch.bool:
        return _call(A.add.Tensor, scores, mask)
    hidden = _call(A.logical_not.default, mask)
    return _call(A.masked_fill.Scalar, scores, hidden, float("-inf"))


def _as_rows(node: Node, x: Node) -> None:
    _, weight, *bias = arguments(node)
    *axes, width = x.meta["val"].shape
    with node.graph.inserting_before(node):
        rows = _call(A.reshape.default, x, [-1, width])
        made = _call(A.linear.default, rows, weight, *bias)
        made.meta.update({name: item for name, item in node.meta.items() if name != "val"})
        shaped = _call(A.reshape.default, made, [*_sizes(x, axes), weight.meta["val"].shape[0]])
    node.replace_all_uses_with(shaped)
    node.graph.erase_node(node)


def _sizes(x: Node, axes: Sequence[int | torch.SymInt]) -> list[int | Node]:
    """The sizes of the axes, the first free one left to be found by reshaping, others asked for."""
    free = [index for index, size in enumerate(axes) if not isinstance(size, int)]
    sizes: list[int | Node] = []
    for index, size in enumerate(axes):
        if isinstance(size, int):
            sizes.append(size)
        else:
            sizes.append(-1 if index == free[0] else _call(A.sym_size.int, x, index))
    return sizes


def _call(target: Any, first: Node, *rest: Any) -> Node:
    """A call at the graph's insertion point, with the shape of what it gives."""
    node = first.graph.call_function(target, (first, *rest))
    given = [_value(argument) for argument in (first, *rest)]
    node.meta["val"] = target(*given)
    return node


def _value(argument: Any) -> Any:
    if isinstance(argument, Node):
        return argument.meta["val"]
    return [_value(item) for item in argument] if isinstance(argument, list) else argument
