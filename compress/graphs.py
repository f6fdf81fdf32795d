"""Reading and writing captured graphs: the operators that matter, their tensors, their users."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

A = torch.ops.aten

CONVOLUTIONS = frozenset(
    {
        A.conv1d.default,
        A.conv1d.padding,
        A.conv2d.default,
        A.conv2d.padding,
        A.conv3d.default,
        A.conv3d.padding,
    }
)
LINEAR = frozenset({A.linear.default})
ACTIVATIONS = frozenset({A.relu.default, A.relu6.default, A.hardtanh.default})  # zero, or a bound, at an end
ADDITIONS = frozenset({A.add.Tensor})
PRODUCTS = frozenset({A.matmul.default, A.bmm.default})
MULTIPLICATIONS = frozenset({A.mul.Tensor})
JOINS = frozenset({A.cat.default})
CURVES = frozenset({A.sigmoid.default, A.leaky_relu.default})  # ONNX Runtime has a table for each
FLOAT_CURVES = frozenset(  # for these it has none
    {
        A.elu.default,
        A.gelu.default,
        A.hardsigmoid.default,
        A.hardswish.default,
        A.mish.default,
        A.silu.default,
        A.tanh.default,
    }
)
AVERAGES = frozenset({A.mean.dim, A.avg_pool1d.default, A.avg_pool2d.default, A.adaptive_avg_pool2d.default})
MOVES = frozenset(  # values go elsewhere and stay as they are
    {
        A.max_pool1d.default,
        A.max_pool2d.default,
        A.upsample_nearest2d.vec,
        A.flatten.using_ints,
        A.view.default,
        A.reshape.default,
        A.permute.default,
        A.transpose.int,
        A.squeeze.dim,
        A.squeeze.dims,
        A.contiguous.default,
        A.unsqueeze.default,
    }
)
DROPOUTS = frozenset(
    {
        A.dropout.default,
        A.feature_dropout.default,
        A.alpha_dropout.default,
        A.feature_alpha_dropout.default,
    }
)


def only_user(node: Node) -> Node | None:
    """The node that takes what `node` gives, when there is just one."""
    return next(iter(node.users)) if len(node.users) == 1 else None


def arguments(node: Node) -> tuple[Any, ...]:
    """A call's arguments, untyped as graphs are: nodes, numbers, None."""
    return node.args


def is_float(node: Node) -> bool:
    """Whether a node gives a tensor of floats with at least one axis beside the batch."""
    value = node.meta.get("val")
    return isinstance(value, Tensor) and value.is_floating_point() and value.dim() >= 2


def tensor_at(graph: GraphModule, node: Node) -> Tensor:
    """The parameter or buffer that a ``get_attr`` node reads."""
    assert node.op == "get_attr", f"expected a parameter or buffer, got {node.format_node()}"
    path, _, name = str(node.target).rpartition(".")
    tensor = getattr(graph.get_submodule(path), name)
    assert isinstance(tensor, Tensor)
    return tensor.detach()


def tensor_node(graph: GraphModule, name: str, value: Tensor) -> Node:
    """Register a tensor as a buffer and read it at the graph's insertion point."""
    graph.register_buffer(name, value)
    node = graph.graph.get_attr(name)
    node.meta["val"] = value
    return node


def call(target: Any, first: Node, *rest: Any) -> Node:
    """A call of an operator at the graph's insertion point, with the shape of what it gives."""
    node = first.graph.call_function(target, (first, *rest))
    node.meta["val"] = target(*(_value(argument) for argument in (first, *rest)))
    return node


def take_place_of(node: Node, new: Node, *others: Node) -> None:
    """Let `new` answer for `node`, which goes; it and `others` belong to the module that `node` did."""
    for made in (new, *others):
        made.meta.update({name: item for name, item in node.meta.items() if name != "val"})
    node.replace_all_uses_with(new)
    node.graph.erase_node(node)


def _value(argument: Any) -> Any:
    if isinstance(argument, Node):
        return argument.meta["val"]
    return [_value(item) for item in argument] if isinstance(argument, list) else argument
