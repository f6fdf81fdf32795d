"""Wrong exports, planted by writing a file of another network than the one it is compared with."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from lifecycle.core.artifact import Artifact
from lifecycle.core.errors import LifecycleError, RefusedError
from lifecycle.core.signature import Array, Signature
from lifecycle.export.bundle import prove
from lifecycle.export.comparison import Comparison
from lifecycle.export.formats import load_format
from lifecycle.export.network import Network, evaluating
from lifecycle.export.parity import Reference, is_scores
from lifecycle.export.runtime import open_model
from lifecycle.export.settings import WriteSettings
from lifecycle.export.tolerance import FLOAT, Precision
from tests.export.networks import DIGITS, PAIR, Digits, Pair, digits, images, pairs


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(Network(digits(), DIGITS, images(2)), images(40))


@pytest.fixture(scope="module")
def integer_reference(integer_network: nn.Module) -> Reference:
    postprocess = digits().postprocess
    return Reference(Network(integer_network, DIGITS, images(2), postprocess=postprocess), images(40))


def changed_weight(network: Digits) -> None:
    network.blocks[1].shortcut.weight.data.mul_(1.01)


def changed_bias(network: Digits) -> None:
    network.head.bias.data[3] += 0.01


def other_statistics(network: Digits) -> None:
    network.stem[1].running_var.data.mul_(1.01)


def dropout_left_on(network: Digits) -> None:
    class Always(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.dropout(x, 0.2, training=True)

    network.drop = Always()


def preprocessing_lost(network: Digits) -> None:
    forward = network.stem.forward
    network.stem.forward = lambda x: forward(x * 16)


def swapped_outputs(network: Digits) -> None:
    probabilities = network.forward
    network.forward = lambda image: probabilities(image).softmax(dim=1)
    network.postprocess = lambda outputs: {"probabilities": outputs.log()}


def one_number(network: Digits) -> None:
    network.blocks[0].conv1.weight.data[2, 3, 1, 1] += 0.05


@pytest.mark.parametrize(
    "mistake",
    [
        changed_weight,
        changed_bias,
        other_statistics,
        dropout_left_on,
        preprocessing_lost,
        swapped_outputs,
        one_number,
    ],
)
def test_a_mistake_in_torchscript_is_refused(
    reference: Reference, mistake: Callable[[Digits], None], tmp_path: Path
) -> None:
    wrong = digits()
    mistake(wrong)
    with pytest.raises(
        RefusedError, match=r"the torchscript file, as run, differs from the module: output '"
    ):
        _prove(reference, wrong, DIGITS, "torchscript", tmp_path)


def test_any_weight_changed_in_onnx_is_refused(
    reference: Reference, float_bundle: Artifact, tmp_path: Path
) -> None:
    content = float_bundle.file("model.onnx").read_bytes()
    names = [
        t.name for t in onnx.load_from_string(content).graph.initializer if t.data_type == TensorProto.FLOAT
    ]
    assert len(names) == 17
    for name in names:
        model = onnx.load_from_string(content)
        (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == name)
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1.01), name))
        with pytest.raises(
            RefusedError, match="the onnx file, as written, differs from the module: output '"
        ):
            _prove_edited(reference, model, tmp_path)


def test_outputs_swapped_in_onnx_are_refused(
    reference: Reference, float_bundle: Artifact, tmp_path: Path
) -> None:
    model = onnx.load(float_bundle.file("model.onnx"))
    swapped = {"logits": "probabilities", "probabilities": "logits"}
    for node in model.graph.node:
        node.input[:] = [swapped.get(name, name) for name in node.input]
        node.output[:] = [swapped.get(name, name) for name in node.output]
    with pytest.raises(RefusedError, match="the onnx file, as written, differs from the module: output '"):
        _prove_edited(reference, model, tmp_path)


def test_dropout_left_on_in_onnx_is_refused_though_the_runtime_takes_it_out(
    reference: Reference, float_bundle: Artifact, tmp_path: Path
) -> None:
    model = onnx.load(float_bundle.file("model.onnx"))
    (gemm,) = (node for node in model.graph.node if node.op_type == "Gemm")
    dropout = helper.make_node("Dropout", [gemm.input[0], "ratio", "on"], ["dropped"], seed=1)
    gemm.input[0] = "dropped"
    model.graph.node.insert(list(model.graph.node).index(gemm), dropout)
    for name, value in {"ratio": np.array(0.2, np.float32), "on": np.array(True)}.items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    with pytest.raises(RefusedError, match="the onnx file, as written, differs from the module: output '"):
        _prove_edited(reference, model, tmp_path)


def test_the_right_file_is_not_refused(reference: Reference, float_bundle: Artifact) -> None:
    for format in ("onnx", "torchscript"):
        path = float_bundle.file(load_format(format).filename)
        assert all(found.holds for found in prove(reference, load_format(format), path, "float32"))


def test_a_frozen_batch_axis_is_refused_in_onnx(
    reference: Reference, float_bundle: Artifact, tmp_path: Path
) -> None:
    model = onnx.load(float_bundle.file("model.onnx"))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    with pytest.raises(RefusedError, match=r"its inputs are image uint8 \[2, 1, 8, 8\]; the signature's are"):
        _prove_edited(reference, model, tmp_path)


def test_a_frozen_batch_axis_is_refused_in_torchscript(reference: Reference, tmp_path: Path) -> None:
    class Frozen(Digits):
        def forward(self, image: Tensor) -> Tensor:
            return super().forward(image.reshape(int(image.shape[0]), 1, 8, 8))

    network = Network(digits(Frozen), DIGITS, images(2))
    doubt = r"traced: Converting a tensor to a Python integer \(at .*test_parity.py:\d+\)"
    with evaluating(network), pytest.raises(LifecycleError, match=doubt):
        load_format("torchscript").write(network, tmp_path / "unwritten", WriteSettings())
    with warnings.catch_warnings(), evaluating(network):
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(network, network.example), tmp_path / "frozen")
    with pytest.raises(
        RefusedError, match=r"1 of samples: the torchscript file failed on image \[1, 1, 8, 8\]"
    ):
        prove(reference, load_format("torchscript"), tmp_path / "frozen", "float32")


@pytest.mark.parametrize("layer", range(8))
@pytest.mark.parametrize("mistake", ["5 % too small", "channels moved"])
def test_a_changed_integer_weight_is_refused(
    integer_reference: Reference, integer_bundle: Artifact, layer: int, mistake: str, tmp_path: Path
) -> None:
    model = onnx.load(integer_bundle.file("model.onnx"))
    weights = [
        tensor
        for tensor in model.graph.initializer
        if tensor.data_type == TensorProto.INT8 and len(tensor.dims) > 1
    ]
    values = numpy_helper.to_array(weights[layer]).copy()
    if mistake == "5 % too small":
        values = np.round(values * 0.95).astype(np.int8)
    else:
        values = np.roll(values, 1, axis=0)
    weights[layer].CopyFrom(numpy_helper.from_array(values, weights[layer].name))
    with pytest.raises(RefusedError, match=r"the onnx file, as written, differs from the module"):
        _prove_edited(integer_reference, model, tmp_path, "int8")


def test_one_wrong_number_among_many_is_refused(reference: Reference, float_bundle: Artifact) -> None:
    right = open_model(float_bundle)

    def once_wrong(arrays: Mapping[str, Array]) -> list[Array]:
        outputs = right.runner(arrays)
        if len(outputs[0]) == 32:
            outputs[0][20, 3] += 0.002
        return list(outputs)

    comparison = reference.compare(replace(right, runner=once_wrong), FLOAT)
    assert comparison.mean_errors["logits"] <= FLOAT.mean_error
    assert not comparison.holds
    assert "output 'logits' on 32 of" in comparison.refusal()


def test_another_class_is_refused_unless_scores_tie() -> None:
    from lifecycle.export.parity import _top1

    expected = np.array([[0.1, 0.9, 0.0], [0.5, 0.5001, 0.0]])
    got = np.array([[0.1, 0.9, 0.0], [0.5001, 0.5, 0.0]])
    assert _top1(got, expected, tie=0.001) == (0.5, True)
    assert _top1(got, expected, tie=0.00001) == (0.5, False)


def test_values_that_are_no_numbers_must_be_the_same() -> None:
    from lifecycle.export.parity import _errors

    expected = np.array([np.nan, np.inf, 1.0, 1.0])
    np.testing.assert_array_equal(_errors(expected, expected), [0, 0, 0, 0])
    np.testing.assert_array_equal(
        _errors(np.array([1.0, -np.inf, np.nan, 1.5]), expected), [np.inf, np.inf, np.inf, 0.5]
    )


def test_class_scores_are_told_by_labels_or_task() -> None:
    logits = DIGITS.outputs[0]
    assert is_scores(logits, DIGITS)
    assert is_scores(logits, replace(DIGITS, labels=()))
    assert not is_scores(logits, replace(DIGITS, labels=(), task="regression"))
    assert not is_scores(logits, replace(DIGITS, labels=("a", "b")))
    assert not is_scores(replace(logits, dtype="int64"), DIGITS)


def _prove(
    reference: Reference, module: nn.Module, signature: Signature, format: str, folder: Path
) -> list[Comparison]:
    path = folder / "file"
    network = Network(module, signature, images(2))
    with evaluating(network):
        load_format(format).write(network, path, WriteSettings())
    return prove(reference, load_format(format), path, "float32")


def _prove_edited(
    reference: Reference, model: onnx.ModelProto, folder: Path, precision: Precision = "float32"
) -> list[Comparison]:
    path = folder / "model.onnx"
    onnx.save(model, path)
    return prove(reference, load_format("onnx"), path, precision)


def test_the_first_node_that_differs_is_named(
    reference: Reference, float_bundle: Artifact, tmp_path: Path
) -> None:
    model = onnx.load(float_bundle.file("model.onnx"))
    second = [node for node in model.graph.node if node.op_type == "Conv"][1]
    (weight,) = (tensor for tensor in model.graph.initializer if tensor.name == second.input[1])
    values = numpy_helper.to_array(weight) * np.float32(1.05)
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    message = (
        rf"the first node that differs is Conv '{second.output[0]}' "
        r"\(.*in 'blocks.0.norm1'\), by 0\.\d+ of its range"
    )
    with pytest.raises(RefusedError, match=message):
        _prove_edited(reference, model, tmp_path)


def test_large_scores_at_the_edges_widen_nothing_elsewhere(float_bundle: Artifact) -> None:
    class Steep(Digits):
        """Scores a thousand times as large where every pixel is at its highest."""

        def forward(self, image: Tensor) -> Tensor:
            full = (image == 16).all(dim=3).all(dim=2).all(dim=1)
            return super().forward(image) * (1 + 999 * full.unsqueeze(1))

    steep = Reference(Network(digits(Steep), DIGITS, images(2)), images(40))
    right = open_model(float_bundle)

    def slightly_off(arrays: Mapping[str, Array]) -> list[Array]:
        logits, probabilities = right.runner(arrays)
        edge = arrays["image"].min(axis=(1, 2, 3), keepdims=True)[..., 0, 0] == 16
        return [np.where(edge, logits * 1000, logits + 0.005), probabilities]

    comparison = steep.compare(replace(right, runner=slightly_off), FLOAT)
    assert {row.data for row in comparison.rows if not row.holds and row.output == "logits"} == {
        "samples",
        "random",
    }


class WrongAtOtherLengths(Pair):
    """Right at the length of the samples only."""

    def forward(self, ids: Tensor, weights: Tensor) -> dict[str, Tensor]:
        outputs = super().forward(ids, weights)
        return outputs | {"pooled": outputs["pooled"] * (ids.shape[1] / 5)}


def test_a_mistake_at_another_length_is_refused(tmp_path: Path) -> None:
    torch.manual_seed(1)
    right = Pair()
    wrong = WrongAtOtherLengths()
    wrong.load_state_dict(right.state_dict())
    network = Network(wrong, PAIR, pairs(2, 5))
    with evaluating(network):
        load_format("pt2").write(network, tmp_path / "file", WriteSettings())
    reference = Reference(Network(right, PAIR, pairs(2, 5)), pairs(9, 5))
    with pytest.raises(RefusedError, match=r"output 'pooled' on 2 of \w+ \(length [127]\) is off by"):
        prove(reference, load_format("pt2"), tmp_path / "file", "float32")


class WrongInTheDark(Digits):
    """Right but where every pixel is zero."""

    def forward(self, image: Tensor) -> Tensor:
        dark = (image == 0).all(dim=3).all(dim=2).all(dim=1)
        return super().forward(image) + dark.unsqueeze(1)


def test_a_mistake_at_an_edge_is_refused(reference: Reference, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"output 'logits' on 2 of (zeros|lowest) is off by"):
        _prove(reference, digits(WrongInTheDark), DIGITS, "torchscript", tmp_path)
