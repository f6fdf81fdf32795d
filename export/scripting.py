"""Scripting a network: forward compiled with its branches, between flat inputs and outputs."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, fx, nn
from torch.fx.node import Argument

from lifecycle.core.errors import LifecycleError
from lifecycle.core.signature import Signature
from lifecycle.export.blame import blame
from lifecycle.export.integers import PlainGraph
from lifecycle.export.structure import arrange, leaves
from lifecycle.export.tracing import recorded_trace

if TYPE_CHECKING:
    from lifecycle.export.network import Network, Postprocess


class _Added(nn.Module):
    """What `postprocess` adds to forward's outputs, as a network of its own."""

    def __init__(self, postprocess: Postprocess, names: list[str]) -> None:
        super().__init__()
        self.postprocess = postprocess
        self.names = names

    def forward(self, outputs: object) -> tuple[Tensor, ...]:
        found = self.postprocess(outputs)
        return tuple(found[name] for name in self.names)


def script(network: Network) -> torch.jit.ScriptModule:
    """Compile forward, trace `postprocess`, and join them in the order of the signature.

    Raises:
        LifecycleError: TorchScript cannot compile forward; says where.
    """
    name = type(network.module).__name__
    trainer = getattr(network.module, "trainer", None)
    try:
        if trainer is not None:
            setattr(network.module, "trainer", None)  # noqa: B010 (it is no part of the network)
        inner = torch.jit.script(network.module)
        return cast("torch.jit.ScriptModule", torch.jit.freeze(_joined(network, inner)))
    except Exception as error:
        raise LifecycleError(f"torch.jit.script cannot compile {name}{blame(error)}") from error
    finally:
        if trainer is not None:
            setattr(network.module, "trainer", trainer)  # noqa: B010


def _joined(network: Network, inner: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    """Forward between flat inputs and outputs, as a graph that is compiled."""
    signature = network.signature
    names = [spec.name for spec in signature.inputs]
    outputs = network.module(*arrange(names, network.example))
    root, graph = nn.Module(), fx.Graph()
    root.inner = inner
    values = [graph.placeholder(f"x{index}") for index in range(len(names))]
    found = graph.call_module("inner", tuple(cast("list[Argument]", arrange(names, values))))
    parts = {name: _part(graph, found, way) for name, way in _ways(outputs, signature).items()}
    added = [spec.name for spec in signature.outputs if spec.name not in parts]
    if added and network.postprocess is not None:
        root.added = _traced_postprocess(network.postprocess, added, outputs)
        more = graph.call_module("added", (found,))
        parts |= {name: _part(graph, more, (index,)) for index, name in enumerate(added)}
    graph.output(tuple(parts[spec.name] for spec in signature.outputs))
    return torch.jit.script(PlainGraph(root, graph, class_name="Network").eval())


def _ways(outputs: object, signature: Signature) -> dict[str, tuple[str | int, ...]]:
    """How each of forward's outputs is reached, by its name in the signature."""
    if isinstance(outputs, Tensor):
        return {signature.outputs[0].name: ()}
    found = [name for name, _ in leaves(outputs, "")]
    names = found if isinstance(outputs, Mapping) else [spec.name for spec in signature.outputs]
    ways = [tuple(int(part) if part.isdigit() else part for part in way.split(".")) for way in found]
    return dict(zip(names, ways, strict=False))


def _part(graph: fx.Graph, value: fx.Node, way: tuple[str | int, ...]) -> fx.Node:
    for step in way:
        value = graph.call_function(operator.getitem, (value, step))
    return value


def _traced_postprocess(
    postprocess: Postprocess, names: list[str], outputs: object
) -> torch.jit.ScriptModule:
    added = _Added(postprocess, names)
    with recorded_trace() as doubts:
        traced = torch.jit.trace(added, (outputs,), check_trace=False)  # type: ignore[no-untyped-call]
    if doubts:
        raise LifecycleError(f"postprocess cannot be traced: {doubts[0]}")
    return cast("torch.jit.ScriptModule", traced)
