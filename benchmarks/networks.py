"""The networks whose compression is measured, and the forms that each is brought into."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent.parent))

from lifecycle.compress.calibration import calibrate_, freeze_batch_norm_, freeze_observers_
from lifecycle.compress.channels import prune_channels_
from lifecycle.compress.cost import count_cost
from lifecycle.compress.modes import copied
from lifecycle.compress.quantizer import convert_quantized, prepare_quantization_
from lifecycle.core.signature import Signature, TensorSpec
from lifecycle.export.network import Network, evaluating
from lifecycle.export.to_onnx import write_onnx
from tests.compress import zoo


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network and how it is cut."""

    name: str
    make: Callable[[], nn.Module]
    macs: float = 0.25
    ignore: tuple[str, ...] = ()


CASES = (
    Case(name="ResNet-18", make=zoo.resnet18),
    Case(name="ResNet-56", make=zoo.resnet56),
    Case(name="MobileNet-like", make=zoo.MobileNet),
    # Attention stays whole: only the hidden layers of the MLPs are cut.
    Case(name="ViT", make=zoo.ViT, macs=0.6, ignore=("embed", "blocks.*.attention.*", "blocks.*.mlp.2")),
)


def images(count: int, seed: int = 0) -> Tensor:
    """Random images, ``[count, 3, 32, 32]``."""
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def settled(make: Callable[[], nn.Module]) -> nn.Module:
    """A network whose running statistics fit its weights."""
    torch.manual_seed(0)
    module = make().train()
    with torch.no_grad():
        for seed in range(8):
            module(images(32, seed))
    return module.eval()


def write(module: nn.Module, path: Path) -> Path:
    """The module as the export stage writes it."""
    spec = TensorSpec(name="x", dtype="float32", shape=("batch", 3, 32, 32))
    scores = TensorSpec(name="y", dtype="float32", shape=("batch", 10))
    network = Network(module, Signature(inputs=(spec,), outputs=(scores,)), {"x": images(2).numpy()})
    with evaluating(network):
        write_onnx(network, path)
    return path


def integers(module: nn.Module, method: str) -> nn.Module:
    """The integer network; qat goes through one step of training, which moves nothing by much."""
    module = copied(module)
    prepare_quantization_(module, (images(2),), method="qat" if method == "qat" else "static")
    calibrate_(module, ((images(16, seed),) for seed in range(4)))
    if method == "qat":
        optimizer = torch.optim.SGD(module.parameters(), lr=1e-4)
        module.train()(images(16)).square().mean().backward()
        optimizer.step()
        freeze_observers_(module)
        freeze_batch_norm_(module)
    return convert_quantized(module.eval())


def forms(case: Case, folder: Path) -> tuple[dict[str, nn.Module], dict[str, Path], dict[str, float]]:
    """The modules and files to compare, and what is left of the network's cost."""
    dense = settled(case.make)
    pruned = copied(dense)
    edit = prune_channels_(pruned, (images(2),), macs=case.macs, ignore=case.ignore)
    files = {
        "dense, ONNX Runtime": write(dense, folder / "dense.onnx"),
        "INT8": write(integers(dense, "static"), folder / "int8.onnx"),
        "pruned": write(pruned, folder / "pruned.onnx"),
        "pruned, INT8": write(integers(pruned, "static"), folder / "both.onnx"),
        "pruned, INT8 by QAT": write(integers(pruned, "qat"), folder / "qat.onnx"),
    }
    left = {"macs": edit.macs, "params": edit.params, "dense_macs": count_cost(dense, (images(2),)).macs}
    return {"dense, eager": dense, "pruned, eager": pruned}, files, left
