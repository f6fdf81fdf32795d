"""The kinds of networks that people export, as small as their kind can be, each with what it takes and gives."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from lifecycle.core.signature import Array, Signature, TensorSpec
from tests.export.networks import DIGITS, digits, images

LOGITS = replace(DIGITS, outputs=DIGITS.outputs[:1])
TOP = replace(
    DIGITS,
    outputs=(
        DIGITS.outputs[0],
        TensorSpec(name="top_scores", dtype="float32", shape=("batch", 3)),
        TensorSpec(name="top_classes", dtype="int64", shape=("batch", 3)),
    ),
)


class Convolutions(nn.Module):
    """A plain stack of convolutions; the three best classes are added to its scores."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(*normed(1, 8), *normed(8, 16, stride=2))
        self.head = nn.Linear(16 * 16, 10)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.layers(image.float() / 16).flatten(1))

    def postprocess(self, outputs: Tensor) -> dict[str, Tensor]:
        top = outputs.topk(3, dim=1)
        return {"top_scores": top.values, "top_classes": top.indices}


class Depthwise(nn.Module):
    """A convolution for each channel, then one across them."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(*normed(1, 16), *normed(16, 16, groups=16), *normed(16, 16))
        self.head = nn.Linear(16, 10)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.layers(image.float() / 16).mean(dim=(2, 3)))


class Encoder(nn.Module):
    """A transformer over token sequences of any length, with a mask of the tokens that count."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(40, 8)
        self.place = nn.Embedding(24, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(8, 3)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        places = torch.arange(ids.shape[1], device=ids.device)
        x = self.embed(ids) + self.place(places)
        # The first token always counts: attention over nothing has no answer.
        seen = mask | (places == 0)
        x = self.layers(x, src_key_padding_mask=~seen)
        weights = seen.unsqueeze(-1).to(x.dtype)
        return self.head((x * weights).sum(1) / weights.sum(1))


class Recurrent(nn.Module):
    """An LSTM over sequences of any length; gives its last state too, in a tuple of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 5, batch_first=True)
        self.head = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        steps, (hidden, cell) = self.lstm(x)
        return self.head(steps[:, -1]), (hidden[0], cell[0])


class Record(nn.Module):
    """Takes a dictionary and a tuple, gives a dictionary with a tuple in it."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds = nn.Embedding(6, 4)
        self.mix = nn.Linear(7, 4)

    def forward(
        self, row: dict[str, Tensor], flags: tuple[Tensor, Tensor]
    ) -> dict[str, Tensor | tuple[Tensor, ...]]:
        known, wanted = flags
        parts = [self.kinds(row["kind"]), row["numbers"], (known & wanted).float().unsqueeze(1)]
        mixed = self.mix(torch.cat(parts, dim=1))
        return {"best": mixed.argmax(dim=1), "parts": (mixed.tanh(), known | wanted)}

    def postprocess(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"size": outputs["parts"][0].square().sum(dim=1)}


def normed(inputs: int, outputs: int, *, stride: int = 1, groups: int = 1) -> tuple[nn.Module, ...]:
    conv = nn.Conv2d(inputs, outputs, 3, stride, 1, groups=groups, bias=False)
    return conv, nn.BatchNorm2d(outputs), nn.ReLU()


ENCODER = Signature(
    inputs=(
        TensorSpec(name="ids", dtype="int64", shape=("batch", "length"), range=(0, 39)),
        TensorSpec(name="mask", dtype="bool", shape=("batch", "length"), range=(0, 1)),
    ),
    outputs=(TensorSpec(name="logits", dtype="float32", shape=("batch", 3)),),
    task="classification",
    labels=("bad", "so so", "good"),
    axes={"batch": (1, 16), "length": (1, 24)},
)
RECURRENT = Signature(
    inputs=(TensorSpec(name="x", dtype="float32", shape=("batch", "length", 3), range=(-2, 2)),),
    outputs=(
        TensorSpec(name="y", dtype="float32", shape=("batch", 2)),
        TensorSpec(name="hidden", dtype="float32", shape=("batch", 5)),
        TensorSpec(name="cell", dtype="float32", shape=("batch", 5)),
    ),
    axes={"length": (1, 20)},
)
RECORD = Signature(
    inputs=(
        TensorSpec(name="row.kind", dtype="int64", shape=("batch",), range=(0, 5)),
        TensorSpec(name="row.numbers", dtype="float32", shape=("batch", 2), range=(-1, 1)),
        TensorSpec(name="flags.0", dtype="bool", shape=("batch",)),
        TensorSpec(name="flags.1", dtype="bool", shape=("batch",)),
    ),
    outputs=(
        TensorSpec(name="best", dtype="int64", shape=("batch",)),
        TensorSpec(name="parts.0", dtype="float32", shape=("batch", 4)),
        TensorSpec(name="parts.1", dtype="bool", shape=("batch",)),
        TensorSpec(name="size", dtype="float32", shape=("batch",)),
    ),
)


@dataclass(frozen=True)
class Kind:
    """One kind of network."""

    make: Callable[[], nn.Module]
    signature: Signature
    formats: tuple[str, ...] = ("onnx", "torchscript", "pt2")

    def module(self) -> nn.Module:
        """Weights with scores that lie apart, in evaluation mode."""
        torch.manual_seed(11)
        module = self.make()
        with torch.no_grad():
            for part in module.modules():
                if isinstance(part, nn.BatchNorm2d):
                    part.running_mean.normal_(0, 0.1)
                    part.running_var.uniform_(0.2, 0.6)
        return module.eval()

    def samples(self, count: int = 12) -> dict[str, Array]:
        if self.signature.inputs == DIGITS.inputs:
            return images(count)
        generator = np.random.default_rng(2)
        return {spec.name: spec.random(generator, batch=count, length=9) for spec in self.signature.inputs}


KINDS = {
    "convnet": Kind(Convolutions, TOP),
    "residual": Kind(digits, DIGITS),
    "depthwise": Kind(Depthwise, LOGITS),
    "transformer": Kind(Encoder, ENCODER),
    # torch.export unrolls an LSTM over the length of the example, so pt2 cannot hold one of any length.
    "lstm": Kind(Recurrent, RECURRENT, ("onnx", "torchscript")),
    "record": Kind(Record, RECORD),
}
IMAGES = ("convnet", "residual", "depthwise")


def pruned(module: nn.Module) -> nn.Module:
    """Half of the multiply-accumulates of an image network."""
    from lifecycle.compress.channels import prune_channels_

    smaller = copy.deepcopy(module)
    prune_channels_(smaller, (torch.from_numpy(images(2)["image"]),), macs=0.6, round_to=2)
    return smaller.eval()
