"""Which layers of a calibrated module lose most by being rounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import nn
from torch.fx import GraphModule, Node

from lifecycle.compress.fake_quantize import FakeQuantize, WeightFakeQuantize
from lifecycle.compress.kept import place
from lifecycle.compress.quantizer import quantized_graph


def layers_by_harm(
    module: nn.Module, measure: Callable[[], float], *, mode: Literal["max", "min"] = "max"
) -> list[tuple[str, float]]:
    """Layers with rounded weights and what the metric loses when only that layer is rounded; the worst first.

    Args:
        module: Prepared and calibrated; left as it is.
        measure: Gives the metric of the module as it is at the call.
        mode: Whether more or less of the metric is better.
    """
    graph = quantized_graph(module)
    from lifecycle.compress import pt2e

    quantizers = [quantizer for _, quantizer in pt2e.fake_quantizers(graph)]
    before = [bool(quantizer.fake_quant_enabled) for quantizer in quantizers]
    sign = 1.0 if mode == "max" else -1.0
    try:
        _round_only(quantizers, [])
        in_float = measure()
        found = []
        for layer, own in _layers(graph).items():
            _round_only(quantizers, own)
            found.append((layer, sign * (in_float - measure())))
    finally:
        for quantizer, enabled in zip(quantizers, before, strict=True):
            quantizer.enable_fake_quant(enabled)
    return sorted(found, key=lambda item: -item[1])


def _round_only(quantizers: list[FakeQuantize], own: list[FakeQuantize]) -> None:
    for quantizer in quantizers:
        quantizer.enable_fake_quant(any(quantizer is each for each in own))


def _layers(graph: GraphModule) -> dict[str, list[FakeQuantize]]:
    """The fake quantizers of each layer's weight and inputs, by the layer's name."""
    found: dict[str, list[FakeQuantize]] = {}
    for node in graph.graph.nodes:
        inputs = [_quantizer(graph, source) for source in node.all_input_nodes]
        own = [quantizer for quantizer in inputs if quantizer is not None]
        if place(node) and any(isinstance(quantizer, WeightFakeQuantize) for quantizer in own):
            found.setdefault(place(node), []).extend(own)
    return found


def _quantizer(graph: GraphModule, node: Node) -> FakeQuantize | None:
    part = graph.get_submodule(str(node.target)) if node.op == "call_module" else None
    return part if isinstance(part, FakeQuantize) else None
