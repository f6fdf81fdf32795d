"""What every callback of the trainer keeps to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader

import lifecycle as pl
from lifecycle import callbacks as offered
from lifecycle.train import callbacks as trainers
from tests.train.callbacks.disturbed import Saving, both, differences
from tests.train.small import quiet, same, samples


class Network(pl.Module):
    """Has what some callback asks for: a backbone, batch norm, a learning rate, a batch size."""

    def __init__(self) -> None:
        super().__init__()
        self.lr, self.batch_size = 0.05, 4
        self.backbone = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.ReLU())
        self.head = nn.Linear(8, 1)
        self.example_input_array = torch.zeros(2, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.backbone(inputs))  # type: ignore[no-any-return]

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        loss = mse_loss(self(batch[0]), batch[1])
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("val_loss", mse_loss(self(batch[0]), batch[1]))

    def predict_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return self(batch[0])

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW([p for p in self.parameters() if p.requires_grad], lr=self.lr)

    def train_dataloader(self) -> Any:
        return DataLoader(samples(), self.batch_size, shuffle=True)

    def val_dataloader(self) -> Any:
        return DataLoader(samples(), self.batch_size)

    predict_dataloader = val_dataloader


class Writer(offered.BasePredictionWriter):
    def write_on_batch_end(self, *_: Any) -> None:
        pass


class Finetuning(offered.BaseFinetuning):
    def freeze_before_training(self, pl_module: pl.Module) -> None:
        self.freeze(pl_module.backbone)  # type: ignore[arg-type]

    def finetune_function(self, pl_module: pl.Module, epoch: int, optimizer: torch.optim.Optimizer) -> None:
        if epoch == 1:
            self.unfreeze_and_add_param_group(pl_module.backbone, optimizer)  # type: ignore[arg-type]


class Nowhere:
    """A logger."""

    name, version, save_dir = "nowhere", 0, None

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        pass


# How each is made where a bare call is not enough.
MADE: dict[str, Callable[[Path], pl.Callback]] = {
    "BackboneFinetuning": lambda _: offered.BackboneFinetuning(unfreeze_backbone_at_epoch=1),
    "BaseFinetuning": lambda _: Finetuning(),
    "BasePredictionWriter": lambda _: Writer(),
    "BatchSizeFinder": lambda _: offered.BatchSizeFinder(max_trials=2),
    "EarlyStopping": lambda _: offered.EarlyStopping("val_loss", patience=1),
    "GradientAccumulationScheduler": lambda _: offered.GradientAccumulationScheduler({1: 2}),
    "LearningRateFinder": lambda _: offered.LearningRateFinder(num_training_steps=20),
    "ModelCheckpoint": lambda folder: offered.ModelCheckpoint(folder / "kept"),
    "OnExceptionCheckpoint": lambda folder: offered.OnExceptionCheckpoint(folder / "rescued"),
    "StochasticWeightAveraging": lambda _: offered.StochasticWeightAveraging(0.02, 2),
    "ThroughputMonitor": lambda _: offered.ThroughputMonitor(batch_size_fn=lambda batch: len(batch[0])),
}
CALLBACKS = sorted({*trainers.__all__} - {"EarlyStoppingReason", "RichProgressBarTheme"})
# Their state is the clock's, or a folder's.
CLOCKS = {"Timer", "ThroughputMonitor", "DeviceStatsMonitor", "StepTimer"}
# They look for an option in the beginning of every fit, resumed or not.
TUNERS = {"BatchSizeFinder", "LearningRateFinder"}


def make(name: str, folder: Path) -> pl.Callback:
    return MADE[name](folder) if name in MADE else getattr(offered, name)()  # type: ignore[no-any-return]


def made() -> Network:
    pl.seed_everything(7)
    module = Network()
    pl.seed_everything(7)
    return module


def plain(value: object) -> bool:
    """Whether only numbers, text, tensors and nests of these are in it."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str | int) and plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(plain, value))
    return value is None or isinstance(value, bool | int | float | str | Tensor)


def fit(callback: pl.Callback, folder: Path, *, epochs: int = 3, **options: Any) -> pl.Trainer:
    trainer = quiet(
        max_epochs=epochs,
        callbacks=[callback, Saving(folder / "a.ckpt")],
        logger=Nowhere(),
        log_every_n_steps=2,
        default_root_dir=folder,
    )
    trainer.fit(made(), **options)
    return trainer


@pytest.mark.parametrize("name", CALLBACKS)
def test_a_fit_and_the_other_verbs_run_with_it(name: str, tmp_path: Path) -> None:
    trainer = fit(make(name, tmp_path), tmp_path)
    assert trainer.global_step > 0
    trainer.validate(trainer.lightning_module)
    trainer.predict(trainer.lightning_module)


@pytest.mark.parametrize("name", CALLBACKS)
def test_its_state_is_plain_and_comes_back_from_a_file(name: str, tmp_path: Path) -> None:
    callback = make(name, tmp_path)
    fit(callback, tmp_path, epochs=2)
    state = callback.state_dict()
    assert plain(state)
    torch.save(state, tmp_path / "state.pt")
    read = torch.load(tmp_path / "state.pt", weights_only=True)
    other = make(name, tmp_path)
    other.load_state_dict(read)
    if name not in CLOCKS:
        assert same(read, state)
    assert other.state_key == callback.state_key


@pytest.mark.parametrize("before", [8, 12])
@pytest.mark.parametrize("name", sorted({*CALLBACKS} - CLOCKS - TUNERS))
def test_a_resumed_fit_ends_as_the_undisturbed_one(name: str, before: int, tmp_path: Path) -> None:
    whole, parts = both(
        tmp_path,
        lambda: [make(name, tmp_path)],
        made,
        before=before,
        max_epochs=3,
        logger=Nowhere(),
        default_root_dir=tmp_path,
    )
    assert differences(whole, parts) == []


def test_the_table_is_complete() -> None:
    assert set(trainers.__all__) <= set(offered.__all__) <= set(dir(offered))
    assert set(trainers.__all__) <= set(dir(trainers))
    for name in CALLBACKS:
        assert issubclass(getattr(trainers, name), pl.Callback)


def test_a_name_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(
        AttributeError, match=r"has no attribute 'EarlyStop'; it offers: BackboneFinetuning, "
    ):
        _ = trainers.EarlyStop  # type: ignore[attr-defined]
