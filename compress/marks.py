"""How torchao is told what to round: its annotations, written node by node."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.fx import Node

from lifecycle.compress.fake_quantize import ActivationFakeQuantize, WeightFakeQuantize
from lifecycle.compress.kept import place
from lifecycle.compress.processor import Integers
from lifecycle.compress.quiet import (
    Q_ANNOTATION_KEY,
    QuantizationAnnotation,
    QuantizationSpec,
    SharedQuantizationSpec,
)


class Marks:
    """Annotations of one graph.

    Args:
        integers: What to round to.
        kept: Names of modules that are to stay in float.
    """

    def __init__(self, integers: Integers, kept: frozenset[str] = frozenset()) -> None:
        dtype = torch.uint8 if integers.activations == "uint8" else torch.int8
        limits = torch.iinfo(dtype)
        self._kept = kept
        self._weight_limit = integers.weight_limit
        self._activation = QuantizationSpec(
            dtype=dtype,
            quant_min=limits.min,
            quant_max=limits.max,
            qscheme=torch.per_tensor_affine,
            observer_or_fake_quant_ctr=ActivationFakeQuantize,
        )

    def allowed(self, node: Node) -> bool:
        """Whether `node` is computed in no module that is to stay in float."""
        return place(node) not in self._kept

    def inputs(self, node: Node, inputs: Sequence[Node]) -> None:
        """Round what flows into `node` from each of `inputs`."""
        self._of(node).input_qspec_map.update(dict.fromkeys(inputs, self._activation))

    def weight(self, node: Node, weight: Node) -> None:
        """Round a weight, output channels along axis 0, on its way into `node`."""
        self._of(node).input_qspec_map[weight] = QuantizationSpec(
            dtype=torch.int8,
            quant_min=-self._weight_limit,
            quant_max=self._weight_limit,
            qscheme=torch.per_channel_symmetric,
            ch_axis=0,
            observer_or_fake_quant_ctr=WeightFakeQuantize.with_args(channels=weight.meta["val"].shape[0]),
        )

    def output(self, node: Node) -> None:
        """Round what `node` gives."""
        self._of(node).output_qspec = self._activation

    def passes(self, node: Node, source: Node) -> None:
        """Round what `node` gives just as what it took from `source`, whose values it only moves."""
        self.inputs(node, [source])
        self._of(node).output_qspec = SharedQuantizationSpec((source, node))

    def rounded(self, node: Node) -> bool:
        """Whether what `node` gives is marked."""
        return Q_ANNOTATION_KEY in node.meta and node.meta[Q_ANNOTATION_KEY].output_qspec is not None

    def _of(self, node: Node) -> QuantizationAnnotation:
        return node.meta.setdefault(Q_ANNOTATION_KEY, QuantizationAnnotation(_annotated=True))
