"""Quantized graphs in operators of plain PyTorch, so that a file of them needs no library to run."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.fx.node import Argument

from lifecycle.core.errors import RefusedError
from lifecycle.export.tolerance import Precision

_NAMESPACE = "quantized_decomposed"
_CHECKS = ("aten._assert_tensor_metadata", "aten._assert_scalar", "aten.sym_constrain_range")


def holds_integer_weights(module: nn.Module) -> bool:
    """Whether weights are INT8 already, so that a file of the module must hold them as such."""
    return any(tensor.dtype == torch.int8 and tensor.dim() > 1 for tensor in module.state_dict().values())


def precision_of(module: nn.Module) -> Precision:
    """What the weights are: the lowest precision among them."""
    if holds_integer_weights(module):
        return "int8"
    halves = (tensor.dtype == torch.float16 for tensor in module.state_dict().values())
    return "float16" if any(halves) else "float32"


def plain_graph(program: ExportedProgram, *, fused: bool = True) -> fx.GraphModule:
    """Rewrite an exported quantized network in ``aten`` operators, one flat module without unused parameters.

    Weights stay int8 buffers, dequantized in each call. Quantizing an activation and dequantizing it again
    becomes ``aten.fake_quantize_per_tensor_affine``, which computes the same values, rounding included.

    Args:
        program: The exported network.
        fused: False to write that operator out, as scaling, rounding and clamping: ``torch.export`` cannot
            trace it.

    Raises:
        RefusedError: a quantized operator is used in a way that has no such equivalent.
    """
    rewriter = _Rewriter(program, fused)
    for node in program.graph.nodes:
        rewriter.add(node)
    return PlainGraph(rewriter.root, rewriter.graph, class_name="Network")


class PlainGraph(fx.GraphModule):
    """A graph of which TorchScript takes tensors and forward, and nothing about its Python source."""

    __jit_unused_properties__ = [*fx.GraphModule.__jit_unused_properties__, "code"]  # noqa: RUF012

    def __init__(self, root: nn.Module, graph: fx.Graph, class_name: str) -> None:
        super().__init__(root, graph, class_name)
        self.__jit_ignored_attributes__ = sorted(set(vars(self)) - set(vars(nn.Module())))


class _Rewriter:
    """The graph in the making, and what every node of the old one became."""

    def __init__(self, program: ExportedProgram, fused: bool) -> None:
        self.fused = fused
        self.root = nn.Module()
        self.graph = fx.Graph()
        self.made: dict[fx.Node, fx.Node] = {}
        known = {**program.state_dict, **program.constants}
        self.values: dict[str, Tensor] = {
            item.arg.name: known[item.target]
            for item in program.graph_signature.input_specs
            if item.kind != InputKind.USER_INPUT and item.target is not None
        }

    def add(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            if node.name not in self.values:
                self.made[node] = self.graph.placeholder(node.name)
        elif node.op == "output":
            self.graph.output(tuple(self._all(node.args[0])))
        elif str(node.target).removesuffix(".default") not in _CHECKS:
            self.made[node] = self._call(node)

    def _call(self, node: fx.Node) -> fx.Node:
        if _namespace(node) == _NAMESPACE:
            rewrite = _REWRITES.get(_operator(node))
            if rewrite is None:
                raise _refusal(node)
            return rewrite(self, node)
        target = getattr(
            node.target, "overloadpacket", node.target
        )  # TorchScript finds the overload by itself
        if target is torch.ops.aten.sym_size:
            target = torch.ops.aten.size
        named = {name: self._new(value) for name, value in node.kwargs.items()}
        return self._emit(cast("Callable[..., Argument]", target), *self._all(node.args), **named)

    def quantize(self, node: fx.Node) -> fx.Node:
        if any(
            _operator(user) != "dequantize_per_tensor" or user.args[1:3] != node.args[1:3]
            for user in node.users
        ):
            raise _refusal(node)
        if self.fused:
            return self._emit(torch.ops.aten.fake_quantize_per_tensor_affine, *self._all(node.args[:5]))
        value, scale, zero_point, low, high = self._all(node.args[:5])
        steps = self._emit(operator.mul, value, 1.0 / cast("float", scale))
        shifted = self._emit(operator.add, self._emit(torch.ops.aten.round, steps), zero_point)
        clamped = self._emit(torch.ops.aten.clamp, shifted, low, high)
        return self._emit(operator.mul, self._emit(operator.sub, clamped, zero_point), scale)

    def dequantize(self, node: fx.Node) -> fx.Node:
        source = node.args[0]
        if not isinstance(source, fx.Node) or _operator(source) != "quantize_per_tensor":
            raise _refusal(node)
        return self.made[source]

    def dequantize_channels(self, node: fx.Node) -> fx.Node:
        weight, scales, zero_points, axis = node.args[:4]
        if not isinstance(weight, fx.Node) or weight.name not in self.values:
            raise _refusal(node)
        shape = [1] * self.values[weight.name].dim()
        shape[cast("int", axis)] = -1
        value = self._emit(torch.ops.aten.to, self._made(weight), torch.float32)
        if isinstance(zero_points, fx.Node) and bool(self.values[zero_points.name].any()):
            value = self._emit(operator.sub, value, self._along(zero_points, shape))
        return self._emit(operator.mul, value, self._along(scales, shape))

    def _along(self, source: Argument, shape: list[int]) -> fx.Node:
        return self._emit(torch.ops.aten.view, self._new(source), shape)

    def _emit(self, target: Callable[..., Argument], *args: Argument, **kwargs: Argument) -> fx.Node:
        return self.graph.call_function(target, args, kwargs)

    def _new(self, value: Argument) -> Argument:
        return fx.map_arg(value, self._made)

    def _all(self, values: Argument) -> list[Argument]:
        assert isinstance(values, tuple | list)
        return [self._new(value) for value in values]

    def _made(self, node: fx.Node) -> fx.Node:
        """What the node became; a parameter becomes a buffer when it is first asked for."""
        if node not in self.made:
            name = f"t{sum(1 for _ in self.root.buffers())}"
            self.root.register_buffer(name, self.values[node.name].detach())
            self.made[node] = self.graph.get_attr(name)
        return self.made[node]


_REWRITES: dict[str, Callable[[_Rewriter, fx.Node], fx.Node]] = {
    "quantize_per_tensor": _Rewriter.quantize,
    "dequantize_per_tensor": _Rewriter.dequantize,
    "dequantize_per_channel": _Rewriter.dequantize_channels,
}


def _namespace(node: fx.Node) -> str:
    return getattr(node.target, "namespace", "") if node.op == "call_function" else ""


def _operator(node: fx.Node) -> str:
    return str(node.target).split(".")[1] if _namespace(node) == _NAMESPACE else ""


def _refusal(node: fx.Node) -> RefusedError:
    return RefusedError(
        f"TorchScript cannot hold this quantized network: {node.target} (node '{node.name}') is used in "
        "a way that plain PyTorch operators do not express in integers",
        hint="Leave torchscript out of export.formats; ONNX holds it.",
    )
