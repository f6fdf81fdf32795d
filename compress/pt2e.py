"""The adapter around torchao's PT2E quantization: all that is asked of it (ADR-0003)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.fx import GraphModule

from lifecycle.compress.annotate import annotate
from lifecycle.compress.fake_quantize import ActivationFakeQuantize, FakeQuantize
from lifecycle.compress.integers import round_biases_
from lifecycle.compress.marks import Marks
from lifecycle.compress.processor import Integers
from lifecycle.compress.quiet import Quantizer, convert_pt2e, prepare_qat_pt2e
from lifecycle.compress.ranges import RangeOf
from lifecycle.core.errors import UsageError


def insert_fake_quantize(
    graph: GraphModule, integers: Integers, kept: frozenset[str] = frozenset()
) -> GraphModule:
    """Put a `FakeQuantize` on every tensor that ONNX Runtime takes as integers.

    Args:
        graph: In the form of `lifecycle.compress.capture`; not to be used afterwards.
        integers: What to round to.
        kept: Names of modules whose layers stay in float.

    Returns:
        The graph to use, over the same parameters and buffers.

    Raises:
        UsageError: it has no convolution or linear layer.
    """
    quantizer = _OnnxRuntimeQuantizer(Marks(integers, kept))
    prepared = prepare_qat_pt2e(graph, quantizer)
    if quantizer.layers == 0:
        where = " outside keep_float" if kept else ""
        raise UsageError(
            f"there is nothing to quantize: forward runs no convolution and no linear layer{where}"
        )
    _allow_modes(prepared)
    assert isinstance(prepared, GraphModule)
    return prepared


def convert_to_integers(graph: GraphModule) -> GraphModule:
    """Replace every `FakeQuantize` by quantize and dequantize operators, weights by int8 tensors.

    Args:
        graph: Prepared, in evaluation form, batch normalisation folded; not to be used afterwards.
    """
    with torch.no_grad():
        converted = convert_pt2e(graph)
    _allow_modes(converted)
    assert isinstance(converted, GraphModule)
    round_biases_(converted)
    # A graph made anew keeps only the tensors that it reads: no float weight beside its integers.
    return GraphModule(converted, converted.graph).eval()


def fake_quantizers(graph: GraphModule) -> Iterator[tuple[str, FakeQuantize]]:
    """Every `FakeQuantize` of a prepared graph with its name."""
    for name, part in graph.named_modules():
        if isinstance(part, FakeQuantize):
            yield name, part


def set_flags(graph: GraphModule, *, observe: bool, rounding: bool) -> None:
    """Turn observers and rounding on or off everywhere; the first without the second is calibration."""
    for _, quantizer in fake_quantizers(graph):
        quantizer.enable_observer(observe)
        quantizer.enable_fake_quant(rounding)


def settle(graph: GraphModule, range_of: RangeOf) -> None:
    """End calibration: ranges from histograms."""
    for _, quantizer in fake_quantizers(graph):
        if isinstance(quantizer, ActivationFakeQuantize):
            quantizer.settle(range_of)


def forget(graph: GraphModule) -> None:
    """Give calibration up."""
    for _, quantizer in fake_quantizers(graph):
        if isinstance(quantizer, ActivationFakeQuantize):
            quantizer.histogram = None


class _OnnxRuntimeQuantizer(Quantizer):  # type: ignore[misc]
    def __init__(self, marks: Marks) -> None:
        super().__init__()
        self.marks = marks
        self.layers = 0

    def annotate(self, model: GraphModule) -> GraphModule:
        self.layers = annotate(model.graph, self.marks)
        return model

    def validate(self, model: GraphModule) -> None:
        """Nothing is left to check: `annotate` marks only what it knows."""


def _allow_modes(graph: GraphModule) -> None:
    # torchao hides train() and eval() behind functions that raise, because its graphs do not follow them.
    for name in ("train", "eval"):
        vars(graph).pop(name, None)
