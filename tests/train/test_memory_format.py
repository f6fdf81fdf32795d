"""Channels last in memory: what steps see, what is copied, and what cannot be had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import lifecycle as pl
from lifecycle.core.errors import UsageError
from lifecycle.train.memory_format import channels_last, put_channels_last
from tests.train.small import quiet, same, seeded

LAST = torch.channels_last


class Images(pl.Module):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2)
        )
        self.seen: set[bool] = set()

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        self.seen.add(batch[0].is_contiguous(memory_format=LAST))
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.seen.add(batch[0].is_contiguous(memory_format=LAST))

    def configure_optimizers(self) -> object:
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


def images(count: int = 16) -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(1)
    pictures = torch.randn(count, 3, 6, 6, generator=generator)
    return DataLoader(TensorDataset(pictures, (pictures.mean((1, 2, 3)) > 0).long()), 4)


def test_weights_and_images_have_their_channels_last_and_train_alike() -> None:
    module, plain = seeded(Images), seeded(Images)  # type: ignore[arg-type]
    quiet(channels_last=True, max_epochs=2).fit(module, images(), images())
    quiet(max_epochs=2).fit(plain, images(), images())
    assert (module.seen, plain.seen) == ({True}, {False})
    assert module.net[0].weight.is_contiguous(memory_format=LAST)
    for name, value in module.state_dict().items():
        assert torch.allclose(value, plain.state_dict()[name], atol=1e-5)


def test_what_has_the_order_is_not_copied() -> None:
    last = torch.ones(2, 3, 4, 4).contiguous(memory_format=LAST)
    batch: Any = channels_last({"images": last, "labels": (label := torch.ones(2))})
    assert batch["images"] is last and batch["labels"] is label
    usual: Any = channels_last([torch.arange(96).view(2, 3, 4, 4)])
    assert usual[0].is_contiguous(memory_format=LAST) and usual[0].flatten().tolist() == list(range(96))


def test_volumes_stay_as_they_are_beside_images() -> None:
    module = nn.ModuleList([nn.Conv3d(1, 2, 3), nn.Conv2d(3, 4, 3)])
    put_channels_last(module)
    assert module[0].weight.is_contiguous() and module[1].weight.is_contiguous(memory_format=LAST)


def test_a_fit_goes_on_to_the_bit(tmp_path: Path) -> None:
    def fit(epochs: int, ckpt_path: Path | None = None) -> Any:
        module: Any = seeded(Images)  # type: ignore[arg-type]
        trainer = quiet(channels_last=True, fused=True, max_epochs=epochs)
        trainer.fit(module, images(), ckpt_path=ckpt_path)
        return module, trainer

    path = tmp_path / "first.ckpt"
    fit(1)[1].save_checkpoint(path)
    (whole, first), (module, second) = fit(2), fit(2, path)
    assert same(module.state_dict(), whole.state_dict())
    assert same(second.optimizers[0].state_dict(), first.optimizers[0].state_dict())


def test_divided_parameters_cannot_have_it() -> None:
    with pytest.raises(
        UsageError, match=r"^Trainer\(channels_last=True\): strategy='fsdp' divides parameters"
    ):
        quiet(channels_last=True, strategy="fsdp")
