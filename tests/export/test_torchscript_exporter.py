"""That PyTorch's older exporter is still there, and does what the ladder's last rung needs of it."""

from __future__ import annotations

import warnings

import pytest

from lifecycle.core.errors import LifecycleError
from lifecycle.export.hush import quiet
from lifecycle.export.network import Network, evaluating
from lifecycle.export.torchscript_exporter import MAX_OPSET, trace_to_onnx
from tests.export.networks import PAIR, Pair, pairs
from tests.export.zoo import KINDS


def test_it_writes_a_recurrent_layer_of_any_length() -> None:
    kind = KINDS["lstm"]
    network = Network(kind.module(), kind.signature, kind.samples(2))
    with evaluating(network), quiet():
        model = trace_to_onnx(network, MAX_OPSET)
    assert "LSTM" in {node.op_type for node in model.graph.node}
    (value,) = model.graph.input
    assert [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim] == [
        "batch",
        "length",
        3,
    ]


def test_what_it_cannot_is_an_error_and_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    import torch
    from torch import Tensor

    class Spectrum(Pair):
        def forward(self, ids: Tensor, weights: Tensor) -> dict[str, Tensor]:
            outputs = super().forward(ids, weights)
            return outputs | {"pooled": torch.linalg.eigvalsh(outputs["pooled"][:, :, None] * torch.eye(6))}

    network = Network(Spectrum(), PAIR, pairs(3, 4))
    with evaluating(network), quiet(), pytest.raises(LifecycleError, match="linalg_eigvalsh"):
        trace_to_onnx(network, MAX_OPSET)
    assert capfd.readouterr() == ("", "")


def test_its_deprecation_is_not_passed_on() -> None:
    kind = KINDS["lstm"]
    network = Network(kind.module(), kind.signature, kind.samples(2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with evaluating(network):
            trace_to_onnx(network, MAX_OPSET)
