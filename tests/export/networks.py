"""Networks to export, what they take and give, and data for them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from lifecycle.core.signature import Array, Signature, TensorSpec


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class Digits(nn.Module):
    """Raw pixels in, logits out, probabilities added."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, 1, 1), nn.BatchNorm2d(width), nn.ReLU())
        self.blocks = nn.Sequential(Block(width, width, 1), Block(width, 2 * width, 2))
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(2 * width, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.blocks(self.stem(image.float() / 16))
        return self.head(self.drop(x.mean(dim=(2, 3))))

    def postprocess(self, outputs: Tensor) -> dict[str, Tensor]:
        return {"probabilities": outputs.softmax(dim=1)}


class Flat(Digits):
    """Asks for the batch size on its way."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(16 * 4 * 4, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.blocks(self.stem(image.float() / 16))
        return self.head(x.view(x.size(0), -1))


class Pair(nn.Module):
    """Token ids and weights of any length in; a dictionary out, in another order than the signature's."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 6)
        self.score = nn.Linear(6, 3)

    def forward(self, ids: Tensor, weights: Tensor) -> dict[str, Tensor]:
        tokens = self.embed(ids) * weights.unsqueeze(-1)
        return {"pooled": tokens.mean(dim=1), "scores": self.score(tokens)}


DIGITS = Signature(
    inputs=(TensorSpec(name="image", dtype="uint8", shape=("batch", 1, 8, 8), range=(0, 16)),),
    outputs=(
        TensorSpec(name="logits", dtype="float32", shape=("batch", 10)),
        TensorSpec(name="probabilities", dtype="float32", shape=("batch", 10), range=(0, 1)),
    ),
    labels=tuple("0123456789"),
    task="classification",
)
PAIR = Signature(
    inputs=(
        TensorSpec(name="ids", dtype="int64", shape=("batch", "length"), range=(0, 49)),
        TensorSpec(name="weights", dtype="float32", shape=("batch", "length"), range=(0, 1)),
    ),
    outputs=(
        TensorSpec(name="scores", dtype="float32", shape=("batch", "length", 3)),
        TensorSpec(name="pooled", dtype="float32", shape=("batch", 6)),
    ),
)


def fixed_batch(size: int) -> Signature:
    """The digits' signature for a file that takes just so many images."""
    inputs, outputs = (
        tuple(replace(spec, shape=(size, *spec.shape[1:])) for spec in specs)
        for specs in (DIGITS.inputs, DIGITS.outputs)
    )
    return replace(DIGITS, inputs=inputs, outputs=outputs)


def digits(kind: type[Digits] = Digits) -> Digits:
    """A network as training leaves it: scores apart, batch normalisation with statistics of its own."""
    torch.manual_seed(3)
    module = kind()
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.weight.uniform_(0.5, 1.5)
                part.bias.normal_(0, 0.1)
                part.running_mean.normal_(0, 0.1)
                part.running_var.uniform_(0.2, 0.6)
        module.head.weight.mul_(8)
    return module.eval()


def images(count: int, seed: int = 5) -> dict[str, Array]:
    """Soft blobs of 0 to 16, as scanned digits are."""
    generator = np.random.default_rng(seed)
    centres = generator.uniform(1, 6, (count, 2, 1, 1))
    rows, columns = np.mgrid[:8, :8]
    apart = (rows - centres[:, 0]) ** 2 + (columns - centres[:, 1]) ** 2
    return {"image": (16 * np.exp(-apart / generator.uniform(2, 9, (count, 1, 1)))).astype(np.uint8)[:, None]}


def pairs(count: int, length: int) -> dict[str, Array]:
    generator = np.random.default_rng(7)
    return {spec.name: spec.random(generator, batch=count, length=length) for spec in PAIR.inputs}


def quantized(module: nn.Module) -> nn.Module:
    """The integer network of a float one, which stays as it is."""
    import copy

    from lifecycle.compress.calibration import calibrate_
    from lifecycle.compress.quantizer import convert_quantized, prepare_quantization_

    prepared = copy.deepcopy(module)
    prepare_quantization_(prepared, (torch.from_numpy(images(2)["image"]),), method="static")
    calibrate_(prepared, [(torch.from_numpy(images(128)["image"]),)])
    return convert_quantized(prepared)
