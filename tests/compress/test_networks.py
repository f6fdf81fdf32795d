"""The kinds of network that people compress: pruned, saved, and the day after trained on and quantized."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from lifecycle.compress.channels import prune_channels_
from lifecycle.export.operators import quantized_weights, runtime_operators
from lifecycle.export.session import open_session
from tests.compress.chain import EXAMPLE, NETWORKS, images, save, train

FLOATS = {"Conv", "ConvTranspose", "Gemm", "MatMul", "FusedMatMul", "FusedConv"}
INTEGERS = {
    "resnet56": {"QLinearConv": 15, "QLinearAdd": 6, "QLinearAveragePool": 1, "QGemm": 1},
    "mobilenet": {"QLinearConv": 11, "QLinearAdd": 2, "QLinearAveragePool": 1, "QGemm": 1},
    "vit": {"QLinearConv": 1, "QGemm": 9, "QLinearMatMul": 2, "MatMulIntegerToFloat": 2},
    "unet": {"QLinearConv": 10, "QLinearConcat": 2, "NhwcMaxPool": 2, "Resize": 1},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every network pruned and saved here, and taken on to its file in another process."""
    folder = tmp_path_factory.mktemp("networks")
    for name, make in NETWORKS.items():
        torch.manual_seed(0)
        module = make()
        train(module, 2)
        # What a head of attention is, is known to its own stage; here its neighbours are cut.
        ignore = ("embed", "blocks.*.attention.*", "blocks.*.mlp.2") if name == "vit" else ()
        edit = prune_channels_(module, EXAMPLE, macs=0.8 if name == "vit" else 0.5, ignore=ignore)
        train(module, 1)
        save(module, edit, folder / name)
    done = subprocess.run(
        [sys.executable, "-m", "tests.compress.chain", str(folder), *NETWORKS],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_runtime_computes_every_layer_in_integers(name: str, folder: Path) -> None:
    operators = runtime_operators(folder / name / "model.onnx")
    assert {each: operators[each] for each in INTEGERS[name]} == INTEGERS[name]
    assert not FLOATS & operators.keys()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_file_holds_no_float_weight(name: str, folder: Path) -> None:
    weights = quantized_weights(folder / name / "model.onnx")
    assert weights.others == ()
    assert weights.quantized_convolutions + weights.quantized_linears == sum(
        isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) for part in NETWORKS[name]().modules()
    )
    model = onnx.load(folder / name / "model.onnx")
    floats = [list(t.dims) for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT]
    positions = [[1, 17, 32]] if name == "vit" else []  # added, not multiplied
    assert [shape for shape in floats if len([size for size in shape if size > 1]) > 1] == positions


@pytest.mark.parametrize("name", NETWORKS)
def test_the_file_answers_as_the_module_that_rounds(name: str, folder: Path) -> None:
    rounded = load_file(folder / name / "rounded.safetensors")["scores"].numpy()
    session = open_session(folder / name / "model.onnx")
    for count in (1, 16):
        (found,) = session.run(None, {"x": images()[:count].numpy()})
        apart = np.abs(found - rounded[:count])
        assert apart.max() <= 0.05 * np.ptp(rounded)
        assert apart.mean() <= 0.01 * np.ptp(rounded)
