"""Train, prune, fine-tune, quantize, export, run in ONNX Runtime: on real digits, as a pipeline does it."""

from __future__ import annotations

import copy
import logging
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, numpy_helper
from torch import nn

from lifecycle.compress.calibration import calibrate_, freeze_batch_norm_, freeze_observers_
from lifecycle.compress.channels import prune_channels_
from lifecycle.compress.cost import count_cost
from lifecycle.compress.quantizer import convert_quantized, prepare_quantization_
from tests.compress.networks import EXAMPLE, Branches, Depthwise, Residual, digits, errors, fit

TRAIN, TEST = digits()
CALIBRATION = [(part,) for part in TRAIN[0][:512].split(64)]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def export(module: nn.Module, path: Path) -> onnx.ModelProto:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch 2.13's exporter uses what torch 2.13 deprecates
        torch.onnx.export(
            module.eval(),
            EXAMPLE,
            str(path),
            dynamo=True,
            external_data=False,
            verbose=False,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    return onnx.load(path)


def run(path: Path, images: torch.Tensor) -> tuple[np.ndarray, Counter[str]]:
    """The first output, and how often each operator runs once ONNX Runtime has fused what it can."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(path.with_suffix(".fused.onnx"))
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    outputs = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    fused = onnx.load(options.optimized_model_filepath)
    return outputs[0], Counter(node.op_type for node in fused.graph.node)


@pytest.fixture(scope="module")
def pruned() -> tuple[nn.Module, int]:
    """A trained network at a quarter of its multiply-accumulates, and the dense one's errors."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    module = Residual(16)
    fit(module, TRAIN, epochs=6, lr=1e-2)
    dense, cost = errors(module, TEST), count_cost(module, EXAMPLE)
    prune_channels_(module, EXAMPLE, macs=0.25)
    assert count_cost(module, EXAMPLE).macs <= 0.25 * cost.macs
    fit(module, TRAIN, epochs=5, lr=5e-3)
    return module, dense


@pytest.mark.parametrize("method", ["static", "qat"])
def test_a_pruned_network_keeps_its_accuracy_in_integers(
    pruned: tuple[nn.Module, int], method: str, tmp_path: Path
) -> None:
    module, dense = copy.deepcopy(pruned[0]), pruned[1]
    assert errors(module, TEST) <= dense + 8
    prepare_quantization_(module, EXAMPLE, method=method)
    calibrate_(module, CALIBRATION)
    if method == "qat":
        fit(module, TRAIN, epochs=1, lr=1e-3)
        freeze_observers_(module)
        freeze_batch_norm_(module)
        fit(module, TRAIN, epochs=1, lr=5e-4)

    file = export(convert_quantized(module), tmp_path / "digits.onnx")
    scores, operators = run(tmp_path / "digits.onnx", TEST[0])

    assert int((scores.argmax(1) != TEST[1].numpy()).sum()) <= dense + 8
    with torch.no_grad():
        rounded = module(TEST[0]).numpy()
    assert np.abs(scores - rounded).max() <= 0.02 * np.ptp(rounded)
    assert (scores.argmax(1) == rounded.argmax(1)).mean() >= 0.99
    wrong = [int((each.argmax(1) != TEST[1].numpy()).sum()) for each in (scores, rounded)]
    assert abs(wrong[0] - wrong[1]) / len(TEST[1]) <= 0.002  # one image of 540
    convolutions = sum(isinstance(part, nn.Conv2d) for part in pruned[0].modules())
    assert operators == {
        "Cast": 1,
        "Div": 1,
        "QuantizeLinear": 1,
        "QLinearConv": convolutions,
        "QLinearAdd": 2,
        "QLinearAveragePool": 1,
        "Reshape": 1,
        "QGemm": 1,
    }
    weights = [tensor for tensor in file.graph.initializer if len(tensor.dims) > 1]
    assert len(weights) == convolutions + 1
    assert {tensor.data_type for tensor in weights} == {TensorProto.INT8}
    assert all(np.abs(numpy_helper.to_array(tensor)).max() == 127 for tensor in weights)


@pytest.mark.parametrize(
    ("make", "integer"),
    [
        (Depthwise, {"QLinearConv": 4, "QLinearAveragePool": 1, "QGemm": 1}),
        (Branches, {"QLinearConv": 4, "QLinearConcat": 1, "QLinearAdd": 1, "QGemm": 3}),
    ],
)
def test_other_shapes_of_network_run_in_integers_too(
    make: type[nn.Module], integer: dict[str, int], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    module = make()
    with torch.no_grad():
        for (batch,) in CALIBRATION:
            module(batch)
    prepare_quantization_(module.eval(), EXAMPLE, method="static")
    calibrate_(module, CALIBRATION)
    export(convert_quantized(module), tmp_path / "network.onnx")
    scores, operators = run(tmp_path / "network.onnx", TEST[0])
    with torch.no_grad():
        outputs = module(TEST[0])
    rounded = (outputs["scores"] if isinstance(outputs, dict) else outputs).numpy()
    assert np.abs(scores - rounded).max() <= 0.05 * np.ptp(rounded)
    assert {name: operators[name] for name in integer} == integer
    assert not {"Conv", "Gemm", "MatMul", "Add", "Concat"} & set(operators)
