"""What the adapter relies on in torchao: a release that changes it fails here."""

from __future__ import annotations

import torch
from torch import nn

from lifecycle.compress import pt2e
from lifecycle.compress.capture import capture, fix_evaluation_, follow_mode_
from lifecycle.compress.fake_quantize import WeightFakeQuantize
from lifecycle.compress.fold import fold_batch_norm_
from lifecycle.compress.processor import Integers
from lifecycle.compress.ranges import extremes
from tests.compress.networks import EXAMPLE, Residual

IMAGES = torch.randint(0, 17, (8, 1, 8, 8), dtype=torch.uint8)


def test_preparing_keeps_parameters_and_puts_a_fake_quantizer_on_each_tensor_once() -> None:
    module = Residual(8)
    graph = pt2e.insert_fake_quantize(capture(module, EXAMPLE), Integers())
    own = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    got = {**dict(graph.named_parameters()), **dict(graph.named_buffers())}
    assert all(got[name] is tensor for name, tensor in own.items())
    weights = [q for _, q in pt2e.fake_quantizers(graph) if isinstance(q, WeightFakeQuantize)]
    assert len(weights) == sum(isinstance(part, nn.Conv2d | nn.Linear) for part in module.modules())
    # The input of the network, each convolution's output, each addition's, that of the mean; not the scores.
    assert len(list(pt2e.fake_quantizers(graph))) - len(weights) == 1 + 6 + 2 + 1


def test_converting_gives_integer_weights_between_the_operators_that_exporters_know() -> None:
    module = Residual(8).eval()
    graph = pt2e.insert_fake_quantize(capture(module, EXAMPLE), Integers())
    follow_mode_(graph, module)
    pt2e.set_flags(graph, observe=True, rounding=False)
    graph.eval()(IMAGES)
    pt2e.settle(graph, extremes)
    scales = [q.scale for _, q in pt2e.fake_quantizers(graph) if isinstance(q, WeightFakeQuantize)]
    fix_evaluation_(graph)
    fold_batch_norm_(graph)
    converted = pt2e.convert_to_integers(graph)
    targets = {node.target for node in converted.graph.nodes if node.op == "call_function"}
    known = torch.ops.quantized_decomposed
    operators = (known.quantize_per_tensor, known.dequantize_per_tensor, known.dequantize_per_channel)
    assert {operator.default for operator in operators} <= targets
    assert not list(pt2e.fake_quantizers(converted))
    stored = [t for t in converted.state_dict().values() if t.dtype == torch.int8]
    assert len(stored) == len(scales)
    assert all(int(t.abs().amax()) == 127 for t in stored)
    kept = [t for name, t in converted.state_dict().items() if name.startswith("_scale")]
    assert all(any(torch.equal(scale, t) for t in kept) for scale in scales)


def test_modes_can_be_set_on_both_graphs() -> None:
    graph = pt2e.insert_fake_quantize(capture(Residual(8), EXAMPLE), Integers())
    assert graph.train().training and not graph.eval().training
