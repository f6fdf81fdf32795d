from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper
from torch import nn

from lifecycle.core.artifact import Artifact
from lifecycle.core.errors import LifecycleError
from lifecycle.export.bundle import write_bundle
from lifecycle.export.graph import nodes
from lifecycle.export.network import Network, evaluating
from lifecycle.export.settings import WriteSettings
from lifecycle.export.to_onnx import write_onnx
from tests.export.networks import DIGITS, PAIR, Flat, Pair, digits, images, pairs

EIGEN = "linalg_eigh.*linalg_eigh.*linalg_eigvalsh"  # the operator is named on each rung


@pytest.fixture(scope="module")
def model(float_bundle: Artifact) -> onnx.ModelProto:
    return onnx.load(float_bundle.file("model.onnx"))


def test_holds_names_types_and_axes_of_the_signature(model: onnx.ModelProto) -> None:
    text = onnx.printer.to_text(model.graph)
    assert text.startswith(
        "main (uint8[batch,1,8,8] image) => (float[batch,10] logits, float[batch,10] probabilities)"
    )
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 21)]


def test_holds_nothing_that_computes_nothing(model: onnx.ModelProto) -> None:
    assert model.producer_name == model.producer_version == model.doc_string == ""
    assert {entry.key.partition(".")[0] for entry in model.metadata_props} == {"lifecycle"}
    assert not model.functions and not model.graph.value_info
    for part in (*model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output):
        assert part.doc_string == "" and not part.metadata_props
    assert {node.name for node in nodes(model)} == {""}
    used = {name for node in nodes(model) for name in node.input}
    assert {tensor.name for tensor in model.graph.initializer} <= used
    assert str(Path(__file__).parents[2]).encode() not in model.SerializeToString()


def test_parameters_are_called_as_in_the_module(model: onnx.ModelProto) -> None:
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert (held["head.weight"] == digits().head.weight.detach().numpy()).all()


@pytest.mark.parametrize("opset", [18, 23])
def test_another_operator_set(tmp_path: Path, opset: int) -> None:
    bundle = write_bundle(
        digits(),
        signature=DIGITS,
        formats=["onnx"],
        samples=images(9),
        into=tmp_path / "bundle",
        settings=WriteSettings(opset=opset),
    )
    opsets = onnx.load(bundle.file("model.onnx")).opset_import
    assert [(item.domain, item.version) for item in opsets] == [("", opset)]


def test_little_is_held_beside_the_weights(integer_bundle: Artifact) -> None:
    path = integer_bundle.file("model.onnx")
    weights = sum(len(tensor.raw_data) for tensor in onnx.load(path).graph.initializer)
    assert path.stat().st_size - weights < 5_000


def test_integer_weights_are_held_as_integers_only(integer_bundle: Artifact) -> None:
    held = onnx.load(integer_bundle.file("model.onnx")).graph.initializer
    assert sum(1 for tensor in held if tensor.data_type == TensorProto.INT8 and len(tensor.dims) > 1) == 8
    assert not [
        tensor.name for tensor in held if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) > 1
    ]


def test_batch_size_asked_for_on_the_way(tmp_path: Path) -> None:
    write_bundle(
        digits(Flat), signature=DIGITS, formats=["onnx"], samples=images(9), into=tmp_path / "bundle"
    )


def test_an_operator_without_translation_is_named(tmp_path: Path) -> None:
    class Spectrum(Pair):
        def forward(self, ids: torch.Tensor, weights: torch.Tensor) -> dict[str, torch.Tensor]:
            outputs = super().forward(ids, weights)
            return outputs | {"pooled": torch.linalg.eigvalsh(outputs["pooled"][:, :, None] * torch.eye(6))}

    network = Network(Spectrum(), PAIR, pairs(3, 4))
    with evaluating(network), pytest.raises(LifecycleError, match=f"cannot convert Spectrum.*{EIGEN}"):
        write_onnx(network, tmp_path / "model.onnx")


def test_weights_shared_by_two_layers_are_held_once(tmp_path: Path) -> None:
    module = digits()
    conv = module.blocks[0].conv2
    module.blocks[0].conv1 = conv
    module.blocks[0].norm1 = module.blocks[0].norm2
    bundle = write_bundle(
        module, signature=DIGITS, formats=["onnx"], samples=images(9), into=tmp_path / "bundle"
    )
    assert isinstance(conv, nn.Conv2d)
    held = onnx.load(bundle.file("model.onnx")).graph.initializer
    assert sum(1 for tensor in held if list(tensor.dims) == [8, 8, 3, 3]) == 1
