"""The same computation in the operators that fuse: done on a captured graph before anything is marked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from lifecycle.compress.graphs import arguments, call, take_place_of

A = torch.ops.aten

# Arguments of a transposed convolution from the third on, where they are left out.
TRANSPOSED = (None, None, None, (1, 1), (0, 0), (0, 0), 1, (1, 1))
# In place, and the same on a new tensor.
FUNCTIONAL: dict[object, Callable[..., Tensor]] = {
    A.relu_.default: A.relu.default,
    A.relu6_.default: A.relu6.default,
    A.hardtanh_.default: A.hardtanh.default,
    A.add_.Tensor: A.add.Tensor,
    A.mul_.Tensor: A.mul.Tensor,
    A.dropout_.default: A.dropout.default,
    A.hardswish_.default: A.hardswish.default,
    A.silu_.default: A.silu.default,
    A.leaky_relu_.default: A.leaky_relu.default,
    A.sigmoid_.default: A.sigmoid.default,
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


def transposed_as_shuffled_(graph: GraphModule) -> None:
    """Write transposed convolutions whose windows do not overlap as pointwise ones and a reordering.

    Every input pixel then makes a patch of its own: a pointwise convolution gives the patches as channels,
    and moving them puts them in place. ONNX Runtime has no integers for transposed convolutions.
    """
    for node in graph.graph.find_nodes(op="call_function", target=A.conv_transpose2d.input):
        x, weight, bias, stride, padding, extra, groups, dilation = _filled(arguments(node), TRANSPOSED)
        inputs, outputs, *kernel = weight.meta["val"].shape
        size = x.meta["val"].shape[2:]
        apart = list(stride) == kernel and not any((*padding, *extra)) and set(dilation) == {1}
        if not apart or groups != 1 or not all(type(side) is int for side in size):
            continue
        (high, wide), (rows, columns) = kernel, size
        with graph.graph.inserting_before(node):
            turned = call(A.permute.default, weight, [1, 2, 3, 0])
            point = call(A.reshape.default, turned, [outputs * high * wide, inputs, 1, 1])
            if bias is not None:
                bias = call(A.repeat_interleave.self_int, bias, high * wide)
            patches = call(A.conv2d.default, x, point, bias)
            split = call(A.reshape.default, patches, [-1, outputs, high, wide, rows, columns])
            moved = call(A.permute.default, split, [0, 1, 4, 2, 5, 3])
            image = call(A.reshape.default, moved, [-1, outputs, rows * high, columns * wide])
        take_place_of(node, image, patches, split, moved)
    graph.graph.eliminate_dead_code()
    graph.recompile()


def _filled(given: tuple[Any, ...], defaults: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*given, *defaults[len(given) :])


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
