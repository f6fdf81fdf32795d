"""Small networks with the shapes that compression has to cope with, and real data to train them on."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

EXAMPLE = (torch.zeros(2, 1, 8, 8, dtype=torch.uint8),)


class Block(nn.Module):
    def __init__(self, narrow: int, wide: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(narrow, wide, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(wide)
        self.conv2 = nn.Conv2d(wide, wide, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(wide)
        self.short = nn.Sequential()
        if stride > 1:
            self.short = nn.Sequential(nn.Conv2d(narrow, wide, 1, stride, bias=False), nn.BatchNorm2d(wide))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.short(x))


class Residual(nn.Module):
    """Two stages, the second with a downsampling shortcut; raw pixels in, scores out."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.blocks = nn.Sequential(Block(width, width, 1), Block(width, 2 * width, 2))
        self.head = nn.Linear(2 * width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x.float() / 16)).mean((2, 3)))


class Depthwise(nn.Module):
    """Depthwise and grouped convolutions, unusual batch-norm options, in-place activations, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_normed(nn.Conv2d(1, 16, 3, padding=1)),
            *_normed(nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False)),
            *_normed(nn.Conv2d(16, 32, 1, bias=False)),
            *_normed(nn.Conv2d(32, 32, 3, 2, padding=1, groups=4, bias=False)),
        )
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(32, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x.float() / 16))


def _normed(conv: nn.Conv2d) -> tuple[nn.Module, ...]:
    return conv, nn.BatchNorm2d(conv.out_channels, eps=1e-2, momentum=0.3), nn.ReLU6(inplace=True)


class Branches(nn.Module):
    """Concatenation, max pooling, an addition in place, a normalisation of its own, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Conv2d(1, 12, 3, padding=1)
        self.right = nn.Conv2d(1, 20, 5, padding=2)
        self.pool = nn.MaxPool2d(2)
        self.conv = nn.Conv2d(32, 24, 3, padding="same")
        self.bn = nn.BatchNorm2d(24)
        self.again = nn.Conv2d(24, 24, 3, padding=1)
        self.hidden = nn.Linear(24 * 16, 32)
        self.hidden_bn = nn.BatchNorm1d(32)
        self.scores = nn.Linear(32, 10)
        self.extra = nn.Linear(32, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = x.float() / 16
        x = self.pool(torch.cat([self.left(x).relu(), F.relu(self.right(x))], 1))
        x = F.relu_(self.bn(self.conv(x)))
        y = self.again(x)
        y += x
        hidden = F.relu(self.hidden_bn(self.hidden(F.relu(y).flatten(1))))
        return {"scores": self.scores(hidden), "extra": torch.sigmoid(self.extra(hidden))}


Split = tuple[Tensor, Tensor]


def digits() -> tuple[Split, Split]:
    """Training and test images, ``[n, 1, 8, 8]`` uint8, with their labels."""
    bunch = load_digits()
    images, labels = torch.from_numpy(bunch.images.astype("uint8"))[:, None], torch.from_numpy(bunch.target)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    train, test = order[540:], order[:540]
    return (images[train], labels[train]), (images[test], labels[test])


def fit(module: nn.Module, data: Split, *, epochs: int, lr: float, seed: int = 0) -> None:
    """A plain loop: AdamW with one cycle of the learning rate."""
    images, labels = data
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(module.parameters(), lr=lr)
    steps = epochs * (len(images) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    module.train()
    for _ in range(epochs):
        order = torch.randperm(len(images), generator=generator)
        for batch in order.split(64)[: len(images) // 64]:
            loss = F.cross_entropy(module(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    module.eval()


@torch.no_grad()
def errors(module: nn.Module, data: Split) -> int:
    images, labels = data
    return int((module.eval()(images).argmax(1) != labels).sum())
