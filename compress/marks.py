"""How torchao is told what to round: its annotations, written node by node."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.fx import Node
from torchao.quantization.pt2e.quantizer import (
    QuantizationAnnotation,
    QuantizationSpec,
    SharedQuantizationSpec,
)
from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

from lifecycle.compress.fake_quantize import ActivationFakeQuantize, WeightFakeQuantize

ACTIVATION = QuantizationSpec(
    dtype=torch.uint8,
    quant_min=0,
    quant_max=255,
    qscheme=torch.per_tensor_affine,
    observer_or_fake_quant_ctr=ActivationFakeQuantize,
)


class Marks:
    """Annotations of one graph."""

    def inputs(self, node: Node, inputs: Sequence[Node]) -> None:
        """Round what flows into `node` from each of `inputs`."""
        self._of(node).input_qspec_map.update(dict.fromkeys(inputs, ACTIVATION))

    def weight(self, node: Node, weight: Node) -> None:
        """Round a weight, output channels along axis 0, on its way into `node`."""
        self._of(node).input_qspec_map[weight] = QuantizationSpec(
            dtype=torch.int8,
            quant_min=-127,
            quant_max=127,
            qscheme=torch.per_channel_symmetric,
            ch_axis=0,
            observer_or_fake_quant_ctr=WeightFakeQuantize.with_args(channels=weight.meta["val"].shape[0]),
        )

    def output(self, node: Node) -> None:
        """Round what `node` gives."""
        self._of(node).output_qspec = ACTIVATION

    def passes(self, node: Node, source: Node) -> None:
        """Round what `node` gives just as what it took from `source`, whose values it only moves."""
        self.inputs(node, [source])
        self._of(node).output_qspec = SharedQuantizationSpec((source, node))

    def rounded(self, node: Node) -> bool:
        """Whether what `node` gives is marked."""
        return Q_ANNOTATION_KEY in node.meta and node.meta[Q_ANNOTATION_KEY].output_qspec is not None

    def _of(self, node: Node) -> QuantizationAnnotation:
        return node.meta.setdefault(Q_ANNOTATION_KEY, QuantizationAnnotation(_annotated=True))
