"""The kinds of network that people compress, of any size, for tests and benchmarks: weights are random."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def normed(conv: nn.Conv2d, activation: type[nn.Module] | None = nn.ReLU) -> nn.Sequential:
    """A convolution, its normalisation, and what follows."""
    parts: list[nn.Module] = [conv, nn.BatchNorm2d(conv.out_channels)]
    if activation is not None:
        parts.append(activation())
    return nn.Sequential(*parts)


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut (He et al. 2016, https://arxiv.org/abs/1512.03385)."""

    def __init__(self, narrow: int, wide: int, stride: int) -> None:
        super().__init__()
        self.conv1 = normed(nn.Conv2d(narrow, wide, 3, stride, 1, bias=False))
        self.conv2 = normed(nn.Conv2d(wide, wide, 3, 1, 1, bias=False), None)
        self.short = nn.Sequential()
        if stride > 1 or narrow != wide:
            self.short = normed(nn.Conv2d(narrow, wide, 1, stride, bias=False), None)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv2(self.conv1(x)) + self.short(x))


class ResNet(nn.Module):
    """Residual stages, each but the first at half the resolution.

    Args:
        depths: Blocks of each stage.
        width: Channels of the first stage; each one doubles them.
    """

    def __init__(self, depths: tuple[int, ...] = (2, 2, 2, 2), width: int = 64, classes: int = 10) -> None:
        super().__init__()
        self.stem = normed(nn.Conv2d(3, width, 3, 1, 1, bias=False))
        blocks: list[nn.Module] = []
        before = width
        for stage, depth in enumerate(depths):
            for index in range(depth):
                stride = 2 if stage and not index else 1
                blocks.append(BasicBlock(before, width << stage, stride))
                before = width << stage
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(before, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.adaptive_avg_pool2d(self.blocks(self.stem(x)), 1).flatten(1))


def resnet18() -> ResNet:
    """At 3×32×32: 11.2 million parameters."""
    return ResNet()


def resnet56() -> ResNet:
    """Of CIFAR: three stages of nine blocks, 16, 32 and 64 channels."""
    return ResNet((9, 9, 9), 16)


class InvertedResidual(nn.Module):
    """Wide, depthwise, narrow (Sandler et al. 2018, https://arxiv.org/abs/1801.04381)."""

    def __init__(self, narrow: int, out: int, stride: int, expand: int) -> None:
        super().__init__()
        wide = narrow * expand
        self.layers = nn.Sequential(
            *normed(nn.Conv2d(narrow, wide, 1, bias=False), nn.ReLU6),
            *normed(nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.ReLU6),
            *normed(nn.Conv2d(wide, out, 1, bias=False), None),
        )
        self.shortcut = stride == 1 and narrow == out

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(x)
        return x + y if self.shortcut else y


class MobileNet(nn.Module):
    """MobileNetV2's blocks at CIFAR's resolution.

    Args:
        stages: Channels, blocks and first stride of each stage.
        stem: Channels of the first convolution.
        last: Channels of the last convolution.
    """

    def __init__(
        self,
        stages: tuple[tuple[int, int, int], ...] = (
            (16, 1, 1),
            (24, 2, 1),
            (32, 3, 2),
            (64, 4, 2),
            (96, 3, 1),
        ),
        stem: int = 32,
        last: int = 640,
        classes: int = 10,
    ) -> None:
        super().__init__()
        blocks: list[nn.Module] = [normed(nn.Conv2d(3, stem, 3, 1, 1, bias=False), nn.ReLU6)]
        before = stem
        for channels, depth, stride in stages:
            for index in range(depth):
                blocks.append(
                    InvertedResidual(before, channels, 1 if index else stride, 6 if len(blocks) > 1 else 1)
                )
                before = channels
        blocks.append(normed(nn.Conv2d(before, last, 1, bias=False), nn.ReLU6))
        self.features = nn.Sequential(*blocks)
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean((2, 3)))


class Attention(nn.Module):
    """Multi-head self-attention, written out or by PyTorch's fused function."""

    def __init__(self, width: int, heads: int, *, fused: bool) -> None:
        super().__init__()
        self.heads, self.fused = heads, fused
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        qkv = self.qkv(x).reshape(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        if self.fused:
            mixed = F.scaled_dot_product_attention(query, key, value)
        else:
            scores = query @ key.transpose(-2, -1) * (width // self.heads) ** -0.5
            mixed = scores.softmax(-1) @ value
        return self.out(mixed.transpose(1, 2).reshape(batch, length, width))


class EncoderBlock(nn.Module):
    """Pre-norm attention and MLP (Dosovitskiy et al. 2021, https://arxiv.org/abs/2010.11929)."""

    def __init__(self, width: int, heads: int, *, fused: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, fused=fused)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    """A vision transformer over patches, with a class token."""

    def __init__(
        self,
        *,
        size: int = 32,
        patch: int = 4,
        width: int = 192,
        depth: int = 6,
        heads: int = 3,
        channels: int = 3,
        classes: int = 10,
        fused: bool = True,
    ) -> None:
        super().__init__()
        self.embed = nn.Conv2d(channels, width, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.randn(1, (size // patch) ** 2 + 1, width) * 0.02)
        self.blocks = nn.Sequential(*(EncoderBlock(width, heads, fused=fused) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        return self.head(self.norm(self.blocks(x))[:, 0])


class UNet(nn.Module):
    """Down and up again, with what was seen on the way concatenated (Ronneberger et al. 2015).

    Args:
        width: Channels at full resolution.
        depth: How often the resolution is halved.
        transposed: Upsample by transposed convolution from the bottom, else by nearest neighbours as elsewhere.
    """

    def __init__(
        self, width: int = 16, depth: int = 2, *, channels: int = 3, transposed: bool = False
    ) -> None:
        super().__init__()
        sizes = [width << level for level in range(depth + 1)]
        self.down = nn.ModuleList(
            nn.Sequential(
                normed(nn.Conv2d(before, after, 3, 1, 1, bias=False)),
                normed(nn.Conv2d(after, after, 3, 1, 1, bias=False)),
            )
            for before, after in zip([channels, *sizes], sizes, strict=False)
        )
        self.grow = nn.ModuleList(
            nn.ConvTranspose2d(wide, wide, 2, 2)
            if transposed and wide == sizes[-1]
            else nn.Upsample(scale_factor=2)
            for wide in reversed(sizes[1:])
        )
        self.up = nn.ModuleList(
            normed(nn.Conv2d(wide + narrow, narrow, 3, 1, 1, bias=False))
            for wide, narrow in zip(reversed(sizes[1:]), reversed(sizes[:-1]), strict=True)
        )
        self.head = nn.Conv2d(width, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for index, stage in enumerate(self.down):
            x = stage(F.max_pool2d(x, 2) if index else x)
            kept.append(x)
        for grow, stage, other in zip(self.grow, self.up, reversed(kept[:-1]), strict=True):
            x = stage(torch.cat([grow(x), other], 1))
        return self.head(x)
