"""Every kind of network, in every format that can hold it, proven and run again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lifecycle.core.artifact import Artifact
from lifecycle.core.errors import LifecycleError
from lifecycle.export.bundle import write_bundle
from lifecycle.export.network import Network, evaluating
from lifecycle.export.runtime import open_model
from lifecycle.export.to_pt2 import write_pt2
from tests.export.networks import quantized
from tests.export.zoo import IMAGES, KINDS, Kind, Record, pruned


def export(kind: Kind, module: nn.Module, into: Path, **more: object) -> Artifact:
    return write_bundle(
        module, signature=kind.signature, formats=kind.formats, samples=kind.samples(), into=into, **more
    )


def ran(bundle: Artifact, format: str) -> set[tuple[str, int, int | None]]:
    """What the proof of a format ran: kind of data, batch, length."""
    comparisons = bundle.read_json("parity.json")["comparisons"]
    assert all(item["holds"] for item in comparisons)
    return {
        (row["data"], row["batch"], row["axes"].get("length"))
        for item in comparisons
        if item["format"] == format
        for row in item["rows"]
    }


@pytest.mark.parametrize("name", [name for name in KINDS if name != "residual"])
def test_every_kind_is_proven_in_every_format_that_can_hold_it(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    bundle = export(kind, kind.module(), tmp_path / "bundle")
    given = kind.samples(5)
    answers = [open_model(bundle, format).run(given) for format in kind.formats]
    network = Network(kind.module(), kind.signature, given)
    with evaluating(network):
        expected = network(*network.example)
    for outputs in answers:
        for spec, right in zip(kind.signature.outputs, expected, strict=True):
            np.testing.assert_allclose(outputs[spec.name], right, rtol=1e-4, atol=1e-5)
    for format in kind.formats:
        found = ran(bundle, format)
        largest = kind.signature.axes.get("batch", (1, 32))[1]
        assert {1, 2, 7, largest} == {batch for data, batch, _ in found if data == "random"}
        if low_high := kind.signature.axes.get("length"):
            assert {1, 2, 7, 9, low_high[1]} == {length for *_, length in found}
        assert {"samples", "random", "zeros", "lowest", "highest"} == {data for data, *_ in found}


@pytest.mark.parametrize("name", IMAGES)
def test_pruned_and_quantized_networks_are_proven(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    smaller = pruned(kind.module())
    export(kind, smaller, tmp_path / "pruned")
    integers = quantized(smaller)
    bundle = export(
        kind, integers, tmp_path / "integers", reference=smaller_with(integers, smaller), precision="int8"
    )
    floats = (tmp_path / "pruned" / "model.onnx").stat().st_size
    assert bundle.file("model.onnx").stat().st_size < floats
    weights = torch.export.load(bundle.file("model.pt2")).state_dict | dict(
        torch.export.load(bundle.file("model.pt2")).constants
    )
    assert all(tensor.dtype == torch.int8 for tensor in weights.values() if tensor.dim() > 1)


def smaller_with(integers: nn.Module, smaller: nn.Module) -> nn.Module:
    """What is right of a quantized network is itself; what `postprocess` adds comes from the module."""
    if hasattr(smaller, "postprocess"):
        integers.postprocess = smaller.postprocess
    return integers


def test_an_lstm_of_any_length_climbs_to_the_older_exporter(tmp_path: Path) -> None:
    kind = KINDS["lstm"]
    bundle = export(kind, kind.module(), tmp_path / "bundle")
    attempts = bundle.read_json("parity.json")["conversion"]["onnx"]
    assert [item["way"] for item in attempts] == ["non-strict", "strict", "trace"]
    assert all("length" in item["reason"] for item in attempts[:2])
    assert attempts[2]["reason"] == "PyTorch's older exporter, from a trace; opset 20"
    network = Network(kind.module(), kind.signature, kind.samples(2))
    with evaluating(network), pytest.raises(LifecycleError, match=r"cannot trace Recurrent.*length"):
        write_pt2(network, tmp_path / "model.pt2")


def test_structures_are_named_by_the_way_to_their_tensors() -> None:
    kind = KINDS["record"]
    given = kind.samples(3)
    network = Network(kind.module(), kind.signature, given)
    with evaluating(network):
        best, mixed, flags, size = network(*network.example)
    row = {"kind": network.example[0], "numbers": network.example[1]}
    module = kind.module()
    assert isinstance(module, Record)
    expected = module(row, (network.example[2], network.example[3]))
    torch.testing.assert_close(best, expected["best"])
    torch.testing.assert_close((mixed, flags), expected["parts"])
    torch.testing.assert_close(size, expected["parts"][0].square().sum(dim=1))
