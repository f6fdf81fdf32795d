"""Attention and layers over sequences, written as the matrix products that ONNX Runtime has integers for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.fx import GraphModule, Node

from lifecycle.compress.graphs import LINEAR, arguments, call, take_place_of

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
        scaled = call(A.mul.Tensor, query, float(scale))
        scores = call(A.matmul.default, scaled, call(A.transpose.int, key, -2, -1))
        mask = given.get("attn_mask")
        if mask is not None:
            scores = _masked(scores, mask)
        weights = call(A.softmax.int, scores, -1)
        if given.get("dropout_p"):
            weights = call(A.dropout.default, weights, given["dropout_p"], True)
        mixed = call(A.matmul.default, weights, value)
    take_place_of(node, mixed, scores, weights)


def _masked(scores: Node, mask: Node) -> Node:
    if mask.meta["val"].dtype is not torch.bool:
        return call(A.add.Tensor, scores, mask)
    hidden = call(A.logical_not.default, mask)
    return call(A.masked_fill.Scalar, scores, hidden, float("-inf"))


def _as_rows(node: Node, x: Node) -> None:
    _, weight, *bias = arguments(node)
    *axes, width = x.meta["val"].shape
    with node.graph.inserting_before(node):
        rows = call(A.reshape.default, x, [-1, width])
        made = call(A.linear.default, rows, weight, *bias)
        shaped = call(A.reshape.default, made, [*_sizes(x, axes), weight.meta["val"].shape[0]])
    take_place_of(node, shaped, made)


def _sizes(x: Node, axes: Sequence[int | torch.SymInt]) -> list[int | Node]:
    """The sizes of the axes, the first free one left to be found by reshaping, others asked for."""
    free = [index for index, size in enumerate(axes) if not isinstance(size, int)]
    sizes: list[int | Node] = []
    for index, size in enumerate(axes):
        if isinstance(size, int):
            sizes.append(size)
        else:
            sizes.append(-1 if index == free[0] else call(A.sym_size.int, x, index))
    return sizes
