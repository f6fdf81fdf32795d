"""The same computation in the operators that fuse: done on a captured graph before anything is marked."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from lifecycle.compress.graphs import arguments

A = torch.ops.aten

# In place, and the same on a new tensor.
FUNCTIONAL: dict[object, Callable[..., Tensor]] = {
    A.relu_.default: A.relu.default,
    A.relu6_.default: A.relu6.default,
    A.hardtanh_.default: A.hardtanh.default,
    A.add_.Tensor: A.add.Tensor,
    A.mul_.Tensor: A.mul.Tensor,
    A.dropout_.default: A.dropout.default,
}


def without_in_place_(graph: GraphModule) -> None:
    """Write operations in place as ones that give a new tensor, where nobody else sees the old one."""
    for node in graph.graph.nodes:
        if node.op == "call_function" and node.target in FUNCTIONAL:
            changed = arguments(node)[0]
            if changed.op == "call_function" and len(changed.users) == 1:
                node.target = FUNCTIONAL[node.target]
    graph.recompile()


def means_as_pools_(graph: GraphModule) -> None:
    """Write means over the whole image as average pooling, which ONNX Runtime does in integers."""
    for node in graph.graph.nodes:
        size = _image_size(node)
        if size is None:
            continue
        flat = node.target is A.mean.dim and not (len(node.args) > 2 and node.args[2])
        with graph.graph.inserting_before(node):
            pooled = graph.graph.call_function(A.avg_pool2d.default, (node.args[0], list(size)))
            value = node.meta["val"]
            pooled.meta["val"] = value[..., None, None] if flat else value
            last = graph.graph.call_function(A.flatten.using_ints, (pooled, 1)) if flat else pooled
            last.meta["val"] = value
        node.replace_all_uses_with(last)
        graph.graph.erase_node(node)
    graph.recompile()


def _image_size(node: Node) -> tuple[int, int] | None:
    """Height and width, where `node` is a mean over both of a batch of images."""
    if node.target is A.mean.dim:
        whole = sorted(axis % 4 for axis in arguments(node)[1]) == [2, 3] and not node.kwargs
    elif node.target is A.adaptive_avg_pool2d.default:
        whole = list(arguments(node)[1]) == [1, 1]
    else:
        return None
    shape = arguments(node)[0].meta["val"].shape
    sizes = shape[2:]
    return tuple(sizes) if whole and len(shape) == 4 and all(type(size) is int for size in sizes) else None
