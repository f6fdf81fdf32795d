from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import lifecycle as pl
from lifecycle.compress.quantizer import convert_quantized, is_quantized
from lifecycle.core.errors import UsageError
from tests.train.callbacks.disturbed import Interrupt, Saving, differences

IMAGES = torch.randn(48, 3, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(48) % 4


class Small(pl.Module):
    """A convolution with normalisation, dropout and a classifier: 6 batches an epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8)
        self.drop, self.head = nn.Dropout(0.3), nn.Linear(8, 4)
        self.example_input_array = IMAGES[:2]

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.conv(x)))
        return self.head(self.drop(x.mean((2, 3))))

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        loss = F.cross_entropy(self(batch[0]), batch[1])
        self.log("loss", loss)
        return loss

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("val_loss", F.cross_entropy(self(batch[0]), batch[1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def batches() -> Iterator[tuple[Tensor, ...]]:
    """A generator: it can be read once."""
    for part in IMAGES.split(16):
        yield (part,)


def fit(path: Path, *, before: int | None = None, resume: bool = False, **options: Any) -> pl.Trainer:
    pl.seed_everything(99 if resume else 7)
    rounding = pl.callbacks.QuantizationAwareTraining(calibration_batches=batches(), freeze_after=0.5)
    trainer = pl.Trainer(
        **{
            "max_epochs": 4,
            "callbacks": [rounding, Interrupt(before), Saving(path, before)],
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            **options,
        }
    )
    data = TensorDataset(IMAGES, LABELS)
    loaders = DataLoader(data, 8, shuffle=True), DataLoader(data, 16)
    trainer.fit(Small(), *loaders, ckpt_path=path if resume else None)
    return trainer


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> pl.Trainer:
    return fit(tmp_path_factory.mktemp("whole") / "whole.ckpt")


# Before ranges are frozen, at the batch where they are, and after.
@pytest.mark.parametrize("before", [4, 12, 21])
def test_a_fit_that_is_interrupted_and_resumed_ends_in_the_same_bits(
    whole: pl.Trainer, tmp_path: Path, before: int
) -> None:
    with pytest.raises(InterruptedError):
        fit(tmp_path / "parts.ckpt", before=before)
    again = fit(tmp_path / "parts.ckpt", resume=True)
    assert differences(whole, again) == []
    one, other = (trainer.lightning_module for trainer in (whole, again))
    with torch.no_grad():
        assert torch.equal(convert_quantized(one)(IMAGES), convert_quantized(other)(IMAGES))


def test_a_fit_measured_in_steps_settles_too(tmp_path: Path) -> None:
    seen: list[Tensor] = []

    class Record(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Small, *_: Any) -> None:
            seen.append(pl_module.norm.running_mean.clone())  # type: ignore[union-attr]

    rounding = pl.callbacks.QuantizationAwareTraining(calibration_batches=batches(), freeze_after=0.5)
    fit(tmp_path / "steps.ckpt", max_epochs=-1, max_steps=10, callbacks=[rounding, Record()])
    assert len(seen) == 10
    moved = [not torch.equal(one, other) for one, other in pairwise(seen)]
    assert moved == [True] * 4 + [False] * 5


def test_a_prepared_module_is_only_trained(tmp_path: Path) -> None:
    module = Small()
    data = DataLoader(TensorDataset(IMAGES, LABELS), 8)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    for given in (batches(), ()):
        callback = pl.callbacks.QuantizationAwareTraining(calibration_batches=given)
        pl.Trainer(max_epochs=1, callbacks=callback, enable_model_summary=False, **quiet).fit(module, data)
    assert callback.edit is None and is_quantized(module)


def test_words_that_are_wrong_are_refused_before_the_fit() -> None:
    with pytest.raises(UsageError, match="no calibration is called 'max'"):
        pl.callbacks.QuantizationAwareTraining(calibration="max")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="activations is 'int4'"):
        pl.callbacks.QuantizationAwareTraining(activations="int4")  # type: ignore[arg-type]
