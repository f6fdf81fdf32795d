from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from lifecycle.compress.calibration import calibrate_
from lifecycle.compress.capture import UncapturedError
from lifecycle.compress.channels import prune_channels_
from lifecycle.compress.processor import Integers
from lifecycle.compress.quantizer import (
    convert_quantized,
    is_quantized,
    prepare_quantization_,
    quantized_graph,
    replay_quantize,
)
from lifecycle.core.errors import UsageError
from lifecycle.core.signature import Signature, TensorSpec
from lifecycle.export.network import Network, evaluating
from lifecycle.export.operators import quantized_weights, runtime_operators
from lifecycle.export.to_onnx import write_onnx
from tests.compress.networks import EXAMPLE, Branches, Depthwise, Residual

IMAGES = torch.randint(0, 17, (32, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
NETWORKS = [Residual, Depthwise, Branches]


def seen(module: nn.Module, images: Tensor = IMAGES) -> Tensor:
    with torch.no_grad():
        outputs = module(images)
    return outputs["scores"] if isinstance(outputs, dict) else outputs


def settled(module: nn.Module) -> nn.Module:
    """With running statistics of real batches."""
    with torch.no_grad():
        for _ in range(20):
            module.train()(IMAGES)
    return module.eval()


@pytest.mark.parametrize("make", NETWORKS)
def test_before_calibration_nothing_is_rounded_and_the_parameters_are_the_same_objects(
    make: type[nn.Module],
) -> None:
    module = settled(make())
    wanted, parameters = seen(module), list(module.parameters())
    assert not is_quantized(module)
    prepare_quantization_(module, EXAMPLE, method="qat")
    assert is_quantized(module)
    assert torch.allclose(seen(module), wanted, rtol=1e-3, atol=1e-4)
    assert all(one is other for one, other in zip(module.parameters(), parameters, strict=True))


@pytest.mark.parametrize("make", NETWORKS)
@pytest.mark.parametrize("method", ["static", "qat"])
def test_the_integer_network_agrees_with_the_one_that_rounds(make: type[nn.Module], method: str) -> None:
    torch.manual_seed(0)
    module = settled(make())
    floats = seen(module)
    prepare_quantization_(module, EXAMPLE, method=method)
    calibrate_(module, [(part,) for part in IMAGES.split(8)])
    rounded = seen(module)
    assert not torch.equal(rounded, floats)
    span = float(floats.max() - floats.min())
    assert float((rounded - floats).abs().max()) < 0.1 * span
    converted = convert_quantized(module)
    assert float((seen(converted) - rounded).abs().max()) <= 0.02 * span
    weights = [tensor for tensor in converted.state_dict().values() if tensor.dim() > 1]
    assert {tensor.dtype for tensor in weights} == {torch.int8}


def test_training_through_the_rounding_moves_the_modules_own_weights_and_statistics() -> None:
    module = settled(Residual())
    optimizer = torch.optim.SGD(module.stem.parameters(), lr=0.1)
    prepare_quantization_(module, EXAMPLE, method="qat")
    calibrate_(module, [(IMAGES,)])
    weight, mean = module.stem[0].weight.detach().clone(), module.stem[1].running_mean.clone()
    count = int(module.stem[1].num_batches_tracked)
    module.train()
    F.cross_entropy(module(IMAGES), torch.arange(32) % 10).backward()
    optimizer.step()
    assert not torch.equal(module.stem[0].weight, weight)
    assert not torch.equal(module.stem[1].running_mean, mean)
    assert int(module.stem[1].num_batches_tracked) == count + 1
    assert torch.equal(quantized_graph(module).get_parameter("stem.0.weight"), module.stem[0].weight)


def test_what_moves_with_the_module_moves_for_the_graph() -> None:
    module = settled(Residual())
    prepare_quantization_(module, EXAMPLE, method="qat")
    module.to(torch.float64)  # replaces every buffer, as another device does
    assert quantized_graph(module).get_buffer("stem.1.running_mean") is module.stem[1].running_mean


def test_train_and_eval_reach_normalisation_and_dropout() -> None:
    module = settled(Depthwise())
    prepare_quantization_(module, EXAMPLE, method="static")
    calibrate_(module, [(IMAGES,)])
    module.eval()
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    assert torch.equal(seen(module), seen(module))
    assert seen(module, IMAGES[:1]).shape == (1, 10)
    assert all(torch.equal(state[name], tensor) for name, tensor in module.state_dict().items())
    module.train()
    assert not torch.equal(seen(module), seen(module))
    with torch.inference_mode():
        module.eval()(IMAGES)


def test_a_copy_runs_its_own_graph() -> None:
    module = settled(Residual())
    prepare_quantization_(module, EXAMPLE, method="qat")
    calibrate_(module, [(IMAGES,)])
    twin = copy.deepcopy(module)
    wanted = seen(module)
    with torch.no_grad():
        twin.stem[0].weight.zero_()
    assert torch.equal(seen(module), wanted)
    assert not torch.equal(seen(twin), wanted)


def test_conversion_leaves_the_module_as_it_was() -> None:
    module = settled(Residual()).train()
    prepare_quantization_(module, EXAMPLE, method="qat")
    calibrate_(module, [(IMAGES,)])
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    convert_quantized(module)
    assert module.training
    assert all(torch.equal(state[name], tensor) for name, tensor in module.state_dict().items())


def test_a_replayed_module_loads_strictly_and_gives_the_same_bits_in_another_process(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = settled(Residual())
    edits = [prune_channels_(module, EXAMPLE, macs=0.5).to_json()]
    edits.append(prepare_quantization_(module, EXAMPLE, method="qat").to_json())
    calibrate_(module, [(IMAGES,)])
    module.train()(IMAGES)
    module.eval()
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    save_file(state, tmp_path / "weights.safetensors")
    converted = convert_quantized(module)
    save_file({"rounded": seen(module), "integer": seen(converted)}, tmp_path / "seen.safetensors")
    (tmp_path / "edits.json").write_text(json.dumps(edits))
    program = f"""
import json, torch
from pathlib import Path
from safetensors.torch import load_file
from lifecycle.compress.channels import replay_channels
from lifecycle.compress.quantizer import convert_quantized, replay_quantize
from tests.compress.networks import EXAMPLE, Residual
from tests.compress.test_quantizer import IMAGES, seen
folder = Path({str(tmp_path)!r})
channels, rounding = json.loads((folder / "edits.json").read_text())
module = Residual().eval()
replay_channels(module, EXAMPLE, channels)
replay_quantize(module, EXAMPLE, rounding)
module.load_state_dict(load_file(folder / "weights.safetensors"))
wanted = load_file(folder / "seen.safetensors")
assert torch.equal(seen(module), wanted["rounded"])
assert torch.equal(seen(convert_quantized(module)), wanted["integer"])
"""
    finished = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[2], capture_output=True, text=True
    )
    assert (finished.returncode, finished.stderr) == (0, "")


def test_a_network_that_starts_with_switched_off_channels_can_be_prepared_and_trained() -> None:
    module = Residual()
    nn.init.zeros_(module.blocks[1].bn2.weight)
    prepare_quantization_(module, EXAMPLE, method="qat")
    calibrate_(module, [(IMAGES,)])
    F.cross_entropy(module.train()(IMAGES), torch.arange(32) % 10).backward()
    gradient = module.blocks[1].bn2.weight.grad
    assert gradient is not None and gradient.isfinite().all() and gradient.any()


class Decides(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = x.float().flatten(1)
        return self.head(x) if x.sum() > 0 else self.head(-x)


class Differs(Decides):
    def forward(self, x: Tensor) -> Tensor:
        x = x.float().flatten(1) + 1
        return self.head(x) if self.training else self.head(-x)


class Holds(Decides):
    def __init__(self) -> None:
        super().__init__()
        self.quantized = True


def test_what_cannot_be_prepared_is_refused_and_stays_as_it_was() -> None:
    for module, message in (
        (Decides(), r"forward of Decides cannot be traced: .*\n.*must not branch on values"),
        (Differs(), r"graph of Differs computes something else: .*\n.*self\.training"),
        (Holds(), "Holds has an attribute 'quantized' of its own"),
        (nn.Flatten(), "nothing to quantize: forward runs no convolution"),
    ):
        with pytest.raises(UsageError, match=message):
            prepare_quantization_(module, EXAMPLE, method="static")
        assert not is_quantized(module)
        assert "forward" not in vars(module)
        assert module.training


def test_wrong_orders_and_words_are_refused() -> None:
    module = settled(Residual())
    with pytest.raises(UsageError, match="no quantization method is called 'qta': did you mean 'qat'"):
        prepare_quantization_(module, EXAMPLE, method="qta")
    with pytest.raises(UsageError, match=r"Residual is not prepared.*\nrun prepare_quantization_"):
        convert_quantized(module)
    replay_quantize(module, EXAMPLE, {"edit": "quantize", "method": "static"})
    with pytest.raises(UsageError, match=r"has seen no data\nrun calibrate_"):
        convert_quantized(module)
    with pytest.raises(UsageError, match="prepared for quantization already"):
        prepare_quantization_(module, EXAMPLE, method="static")
    with pytest.raises(UsageError, match="prune first, then quantize"):
        prune_channels_(module, EXAMPLE, macs=0.5)


class Gated(nn.Module):
    """Squeeze and excitation around curves that ONNX Runtime has integers for, or has not."""

    def __init__(self, curve: nn.Module, gate: nn.Module) -> None:
        super().__init__()
        self.first, self.curve, self.gate = nn.Conv2d(1, 8, 3, padding=1), curve, gate
        self.squeeze, self.excite, self.head = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.curve(self.first(x.float() / 16))
        gate = self.gate(self.excite(self.squeeze(F.adaptive_avg_pool2d(x, 1)).relu()))
        return self.head((x * gate).mean((2, 3)))


@pytest.mark.parametrize(
    "module",
    [Gated(nn.LeakyReLU(0.1), nn.Sigmoid()), Gated(nn.Hardswish(inplace=True), nn.Hardsigmoid())],
    ids=["tables", "floats"],
)
def test_gates_are_multiplied_in_integers(module: nn.Module, tmp_path: Path) -> None:
    prepare_quantization_(module, EXAMPLE, method="static")
    calibrate_(module, [(IMAGES,)])
    write_digits(convert_quantized(module), tmp_path / "gated.onnx")
    operators = runtime_operators(tmp_path / "gated.onnx")
    assert operators["QLinearMul"] == 1 and operators["QLinearAveragePool"] == 2
    assert (operators["QLinearConv"], operators["QGemm"]) == (3, 1)
    assert not {"Conv", "AveragePool", "ReduceMean", "Gemm"} & operators.keys()


def write_digits(module: nn.Module, path: Path) -> None:
    signature = Signature(
        inputs=(TensorSpec(name="image", dtype="uint8", shape=("batch", 1, 8, 8)),),
        outputs=(TensorSpec(name="scores", dtype="float32", shape=("batch", 10)),),
    )
    network = Network(module, signature, {"image": EXAMPLE[0].numpy()})
    with evaluating(network):
        write_onnx(network, path)


@pytest.mark.parametrize("activations", ["uint8", "int8"])
def test_layers_named_stay_in_float_and_the_rest_computes_in_the_integers_asked_for(
    activations: str, tmp_path: Path
) -> None:
    module = settled(Residual(8))
    edit = prepare_quantization_(
        module,
        EXAMPLE,
        method="static",
        integers=Integers(activations=activations, weight_bits=7),  # type: ignore[arg-type]
        keep_float=("stem", "blocks.1.s*"),
    )
    calibrate_(module, [(IMAGES,)])
    write_digits(convert_quantized(module), tmp_path / "kept.onnx")
    weights = quantized_weights(tmp_path / "kept.onnx")
    assert (weights.convolutions, weights.quantized_convolutions, weights.quantized_linears) == (6, 4, 1)
    operators = runtime_operators(tmp_path / "kept.onnx")
    if activations == "uint8":  # on x86, ONNX Runtime leaves a part of what is signed in floats
        assert operators["QLinearConv"] == 4 and operators["QGemm"] == 1
    model = onnx.load(tmp_path / "kept.onnx")
    kinds = {tensor.data_type for tensor in model.graph.initializer if not tensor.dims}
    assert (onnx.TensorProto.UINT8 in kinds) is (activations == "uint8")
    stored = [onnx.numpy_helper.to_array(t) for t in model.graph.initializer if len(t.dims) > 1]
    assert max(int(abs(weight.astype(int)).max()) for weight in stored if weight.dtype == "int8") == 63
    again = settled(Residual(8))
    replay_quantize(again, EXAMPLE, json.loads(json.dumps(edit.to_json())))
    again.load_state_dict(module.state_dict())
    assert torch.equal(seen(again), seen(module))


def test_a_pattern_that_matches_nothing_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"keep_float: 'haed' matches no module; did you mean 'head'"):
        prepare_quantization_(Residual(8), EXAMPLE, method="static", keep_float=("haed",))
    with pytest.raises(UsageError, match=r"no convolution and no linear layer outside keep_float"):
        prepare_quantization_(Residual(8), EXAMPLE, method="static", keep_float=("stem", "blocks", "head"))


class Auxiliary(Decides):
    def forward(self, x: Tensor) -> object:
        scores = self.head(x.float().flatten(1))
        return (scores, scores * 2) if self.training else scores


def test_outputs_that_differ_in_training_are_named() -> None:
    with pytest.raises(UncapturedError, match="Auxiliary gives 2 outputs in training and 1 in evaluation"):
        prepare_quantization_(Auxiliary(), EXAMPLE, method="static")
