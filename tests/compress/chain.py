"""One network from its pruned weights on disk to an ONNX file: what a user does on the next day.

``python -m tests.compress.chain FOLDER NETWORK …`` reads what `save` wrote, in a process that never saw the
modules, trains it on, prepares and trains it for integers, and writes ``model.onnx`` for each.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lifecycle.compress.calibration import calibrate_, freeze_batch_norm_, freeze_observers_
from lifecycle.compress.channels import ChannelEdit, replay_channels
from lifecycle.compress.quantizer import convert_quantized, prepare_quantization_
from lifecycle.core.signature import Signature, TensorSpec
from lifecycle.export.network import Network, evaluating
from lifecycle.export.to_onnx import write_onnx
from tests.compress import zoo

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "resnet56": lambda: zoo.ResNet((2, 2, 2), 8),
    "mobilenet": lambda: zoo.MobileNet(((16, 1, 1), (24, 2, 2)), 16, 64),
    "vit": lambda: zoo.ViT(size=16, width=32, depth=2, heads=2),
    "unet": lambda: zoo.UNet(8, transposed=True),
}
EXAMPLE = (torch.zeros(2, 3, 16, 16),)


def images(count: int = 16, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def train(module: nn.Module, steps: int, lr: float = 1e-3) -> None:
    """Towards something that the images decide; one pass is enough to move weights and statistics."""
    optimizer = torch.optim.SGD(module.parameters(), lr=lr)
    module.train()
    for step in range(steps):
        scores = module(images(seed=step)).flatten(1)
        loss = F.cross_entropy(scores, torch.arange(16) % scores.shape[1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    module.eval()


def save(module: nn.Module, edit: ChannelEdit, folder: Path) -> None:
    """What a checkpoint holds: weights and the recorded edit, and beside them an answer to compare with."""
    folder.mkdir(parents=True)
    save_file(module.state_dict(), folder / "weights.safetensors")
    (folder / "edit.json").write_text(json.dumps(edit.to_json()))
    with torch.no_grad():
        save_file({"scores": module(images())}, folder / "pruned.safetensors")


def restore(name: str, folder: Path) -> nn.Module:
    """The pruned module; its answer is that of the process that saved it, to the bit."""
    module = NETWORKS[name]()
    replay_channels(module, EXAMPLE, json.loads((folder / "edit.json").read_text()))
    module.load_state_dict(load_file(folder / "weights.safetensors"))
    with torch.no_grad():
        assert torch.equal(module.eval()(images()), load_file(folder / "pruned.safetensors")["scores"])
    return module


def write(module: nn.Module, path: Path) -> None:
    """Any module over images as ONNX, as the export stage writes it."""
    with torch.no_grad():
        shape = module(EXAMPLE[0]).shape
    signature = Signature(
        inputs=(TensorSpec(name="x", dtype="float32", shape=("batch", *EXAMPLE[0].shape[1:])),),
        outputs=(TensorSpec(name="y", dtype="float32", shape=("batch", *shape[1:])),),
    )
    network = Network(module, signature, {"x": EXAMPLE[0].numpy()})
    with evaluating(network):
        write_onnx(network, path)


def quantize(module: nn.Module, folder: Path) -> None:
    """Train on, then quantization-aware, and export; keeps what the rounding module answers."""
    train(module, 1)
    prepare_quantization_(module, EXAMPLE, method="qat")
    calibrate_(module, ((images(seed=seed),) for seed in range(4)))
    train(module, 2)
    freeze_observers_(module)
    freeze_batch_norm_(module)
    train(module, 1)
    with torch.no_grad():
        save_file({"scores": module(images())}, folder / "rounded.safetensors")
    write(convert_quantized(module), folder / "model.onnx")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for each in sys.argv[2:]:
        quantize(restore(each, Path(sys.argv[1]) / each), Path(sys.argv[1]) / each)
