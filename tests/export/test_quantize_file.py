"""What the adapter around ONNX Runtime's quantization tools does, and relies on in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from lifecycle.compress.file_edit import FileCalibration, FileEdit, file_edits
from lifecycle.compress.processor import Integers
from lifecycle.compress.ranges import extremes
from lifecycle.core.errors import RefusedError, UsageError
from lifecycle.core.signature import Signature, TensorSpec
from lifecycle.export.network import Network, evaluating
from lifecycle.export.operators import quantized_weights, runtime_operators
from lifecycle.export.quantize_file import quantize_file, watch_activations
from lifecycle.export.session import open_session
from lifecycle.export.to_onnx import write_onnx

SIGNATURE = Signature(
    inputs=(TensorSpec(name="x", dtype="float32", shape=("batch", 6, 8)),),
    outputs=(TensorSpec(name="y", dtype="float32", shape=("batch", 3)),),
)
X = np.random.default_rng(0).normal(size=(16, 6, 8)).astype(np.float32)


class Small(nn.Module):
    """A convolution along positions, a linear layer over them, a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(6, 8, 3, padding=1)
        self.mix = nn.Linear(8, 8)
        self.head = nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.mix(self.conv(x).relu()).relu().flatten(1))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = Network(Small(), SIGNATURE, {"x": X[:2]})
    with evaluating(network):
        write_onnx(network, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def answers(file: Path) -> np.ndarray:
    return open_session(file).run(None, {"x": X})[0]


def static(file: Path, **options: object) -> FileEdit:
    seen, run = FileCalibration(), watch_activations(file)
    for part in np.split(X, 4):
        seen.add(run({"x": part}))
    return FileEdit(method="static", ranges=seen.ranges(extremes), **options)  # type: ignore[arg-type]


def test_static_quantization_takes_recorded_ranges_and_runs_in_integers(file: Path) -> None:
    wanted = answers(file)
    edit = static(file)
    assert edit.ranges["x"] == (float(X.min()), float(X.max()))
    quantize_file(file, [edit.to_json()])
    weights = quantized_weights(file)
    assert (weights.convolutions, weights.linears, weights.others) == (1, 2, ())
    operators = runtime_operators(file)
    assert operators["QLinearConv"] == 1
    assert not {"Conv", "Gemm", "MatMul"} & operators.keys()
    assert np.abs(answers(file) - wanted).max() <= 0.1 * np.ptp(wanted)


def test_the_same_edit_gives_the_same_bytes_and_nothing_lies_beside_the_file(file: Path) -> None:
    model = onnx.load(file)
    model.metadata_props.add(key="of.a.user", value="kept")
    onnx.save(model, file)
    content, edit = file.read_bytes(), static(file).to_json()
    made = []
    for _ in range(2):
        file.write_bytes(content)
        quantize_file(file, [edit])
        made.append(file.read_bytes())
    assert made[0] == made[1] != content
    assert [path.name for path in file.parent.iterdir()] == ["model.onnx"]
    assert ("of.a.user", "kept") in {(item.key, item.value) for item in onnx.load(file).metadata_props}


@pytest.mark.parametrize("bits", [7, 8])
def test_weights_have_the_bits_that_are_recorded(file: Path, bits: int) -> None:
    edit = static(file, integers=Integers(weight_bits=bits))  # type: ignore[arg-type]
    quantize_file(file, [edit.to_json()])
    integers = [t for t in onnx.load(file).graph.initializer if t.data_type == onnx.TensorProto.INT8]
    weights = [onnx.numpy_helper.to_array(tensor) for tensor in integers if len(tensor.dims) > 1]
    assert len(weights) == 3
    assert all((1 << (bits - 2)) < np.abs(weight).max() <= 1 << (bits - 1) for weight in weights)


@pytest.mark.parametrize("method", ["dynamic", "static"])
def test_a_layer_that_is_named_stays_in_float(file: Path, method: str) -> None:
    options = {"keep_float": ("mix",)}
    edit = FileEdit(method="dynamic", **options) if method == "dynamic" else static(file, **options)  # type: ignore[arg-type]
    quantize_file(file, [edit.to_json()])
    weights = quantized_weights(file)
    assert (weights.linears, weights.quantized_linears) == (2, 1)
    assert len(weights.others) == 1 + (method == "dynamic")  # convolutions are not quantized dynamically
    with pytest.raises(UsageError, match="the file has no parameter of 'tail'"):
        quantize_file(file, [FileEdit(method="dynamic", keep_float=("tail",)).to_json()])


def test_ranges_of_another_file_and_values_that_are_not_finite_are_refused(file: Path) -> None:
    content = file.read_bytes()
    with pytest.raises(
        RefusedError, match=r"not of this file: '.*' has none\nThe checkpoint was quantized by"
    ):
        quantize_file(file, [FileEdit(method="static", ranges={"elsewhere": (0.0, 1.0)}).to_json()])
    with pytest.raises(RefusedError, match=r"nothing to quantize; its layers are: Conv, Gemm, MatMul"):
        edit = FileEdit(method="dynamic", keep_float=("mix", "head"))
        quantize_file(file, [edit.to_json()])
    assert file.read_bytes() == content
    seen, run = FileCalibration(), watch_activations(file)
    seen.add(run({"x": X}))
    with pytest.raises(UsageError, match=r"calibration batch 2 cannot be used: in '.*' a value is NaN"):
        seen.add(run({"x": X * np.nan}))


def test_an_edit_of_the_module_cannot_follow_one_of_the_file() -> None:
    edits = [{"edit": "prune_channels"}, FileEdit(method="dynamic").to_json()]
    assert [edit["edit"] for edit in file_edits(edits)] == ["quantize_file"]
    with pytest.raises(
        UsageError, match=r"'prune_channels' after the quantization of the file.*\nprune first"
    ):
        file_edits(edits[::-1])
