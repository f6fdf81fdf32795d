"""Training on a CUDA device: nothing in a step waits for it, and a resume ends in the same bits."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

import lifecycle as pl
from lifecycle.train.callbacks import (
    EMAWeightAveraging,
    ModelCheckpoint,
    StepTimer,
    TQDMProgressBar,
    WeightAveraging,
)
from lifecycle.train.finite import NonFiniteLoss
from lifecycle.train.flops import available_flops
from lifecycle.train.loggers import CSVLogger
from lifecycle.train.phases import PHASES
from tests.train.chaos import digest

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


class Network(pl.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2)
        )

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        loss = cross_entropy(self.net(batch[0]).float(), batch[1])
        self.log("loss", loss, prog_bar=True, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("val_loss", cross_entropy(self.net(batch[0]).float(), batch[1]))

    def configure_optimizers(self) -> Any:
        assert self.trainer is not None
        adam = torch.optim.AdamW(self.parameters(), lr=0.01)
        steps = int(self.trainer.estimated_stepping_batches)
        cycle = torch.optim.lr_scheduler.OneCycleLR(adam, max_lr=0.01, total_steps=steps)
        return [adam], [{"scheduler": cycle, "interval": "step"}]


def loader(count: int = 80, *, shuffle: bool = True) -> DataLoader[Any]:
    inputs = torch.randn(count, 8, generator=torch.Generator().manual_seed(0))
    targets = (inputs.sum(dim=1) > 0).long()
    return DataLoader(TensorDataset(inputs, targets), 4, shuffle=shuffle, pin_memory=True)


class Strict(pl.Callback):
    """Whatever waits for the device is an error, from the third batch to the last but one."""

    def __init__(self) -> None:
        self.batches = 0

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        inside = 2 <= batch_idx < trainer.num_training_batches - 1
        self.batches += inside
        torch.cuda.set_sync_debug_mode("error" if inside else "default")

    def on_exception(self, *_: Any) -> None:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize(
    ("precision", "options"),
    [
        ("32-true", {}),
        ("bf16-mixed", {}),
        ("bf16-true", {}),
        ("bf16-mixed", {"fused": True, "channels_last": True}),
        ("16-mixed", {"fused": True}),  # whose kernel leaves out a step that overflows
    ],
)
def test_no_step_waits_for_the_device(
    precision: Any, options: dict[str, Any], tmp_path: Path, capsys: Any
) -> None:
    strict, bar = Strict(), TQDMProgressBar()
    bar.every_s = 0.0  # every step redraws
    pl.Trainer(
        max_epochs=1,
        accelerator="gpu",
        precision=precision,
        logger=CSVLogger(tmp_path),
        log_every_n_steps=1,
        callbacks=[strict, bar],
        gradient_clip_val=1.0,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        **options,
    ).fit(Network(), loader())
    assert strict.batches == 17


def test_the_check_sees_a_step_that_waits(tmp_path: Path) -> None:
    class Waiting(Network):
        def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
            loss = super().training_step(batch, batch_idx)
            loss.item()
            return loss

    with pytest.raises(RuntimeError, match="synchronizing CUDA operation"):
        pl.Trainer(
            max_epochs=1,
            accelerator="gpu",
            logger=False,
            callbacks=[Strict()],
            enable_progress_bar=False,
            enable_checkpointing=False,
            enable_model_summary=False,
        ).fit(Waiting(), loader())


class Interrupt(pl.Callback):
    def __init__(self, after: int) -> None:
        self.after = after

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.batch_step >= self.after:
            raise KeyboardInterrupt


@pytest.mark.parametrize("precision", ["32-true", "16-mixed", "bf16-mixed"])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_resume_ends_in_the_same_bits(precision: Any, accumulate: int, tmp_path: Path) -> None:
    def fit(folder: Path, *callbacks: pl.Callback, ckpt_path: Any = None) -> pl.Trainer:
        pl.seed_everything(7)
        trainer = pl.Trainer(
            max_epochs=2,
            accelerator="gpu",
            precision=precision,
            accumulate_grad_batches=accumulate,
            logger=False,
            callbacks=[
                EMAWeightAveraging(decay=0.9),
                ModelCheckpoint(folder, every_n_train_steps=1, save_last=True),
                *callbacks,
            ],
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        trainer.fit(Network(), loader(), loader(12, shuffle=False), ckpt_path=ckpt_path)
        return trainer

    def result(trainer: pl.Trainer) -> str:
        assert trainer.lightning_module is not None
        optimizer = trainer.optimizers[0].state_dict()
        return digest([trainer.lightning_module.state_dict(), optimizer, dict(trainer.callback_metrics)])

    whole = result(fit(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "parts", Interrupt(5 // accumulate + 1))
    parts = fit(tmp_path / "parts", ckpt_path="last")
    assert result(parts) == whole


def test_a_checkpoint_holds_tensors_of_the_cpu(tmp_path: Path) -> None:
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="gpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(Network(), loader())
    path = tmp_path / "a.ckpt"
    trainer.save_checkpoint(path)
    content = torch.load(io.BytesIO(path.read_bytes()), weights_only=True)
    assert {tensor.device.type for tensor in content["state_dict"].values()} == {"cpu"}


@pytest.mark.filterwarnings("default")  # torch's own, of what its compiler imports
def test_a_compiled_module_trains_and_logs(tmp_path: Path) -> None:
    module = torch.compile(Network())
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="gpu",
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    trainer.fit(module, loader())
    assert trainer.callback_metrics["loss_epoch"].device.type == "cuda"
    assert trainer.callback_metrics["loss_epoch"].isfinite()


def test_a_loss_that_is_not_finite_ends_the_fit_with_its_place(tmp_path: Path) -> None:
    class Diverging(Network):
        def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
            loss = super().training_step(batch, batch_idx)
            return loss * (float("nan") if batch_idx >= 5 else 1.0)

    with pytest.raises(NonFiniteLoss, match=r"the loss became nan at optimizer step 5 \(epoch 0, batch 5\)"):
        pl.Trainer(
            max_epochs=1,
            accelerator="gpu",
            logger=CSVLogger(tmp_path),
            log_every_n_steps=2,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
        ).fit(Diverging(), loader())


def test_an_average_takes_in_what_batch_normalisation_counts(tmp_path: Path) -> None:
    """In whole numbers, which torch's own averaging of many tensors at once refuses on a GPU."""
    module = Network()
    pl.Trainer(
        max_epochs=1,
        accelerator="gpu",
        logger=False,
        callbacks=[WeightAveraging()],
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    ).fit(module, loader(), loader(12, shuffle=False))
    assert all(tensor.isfinite().all() for tensor in module.state_dict().values())


class Pictures(Network):
    """Goes through its forward, with a convolution in it."""

    def __init__(self) -> None:
        super().__init__()
        self.images = nn.Conv2d(2, 8, 2)
        self.orders: set[bool] = set()

    def forward(self, inputs: Tensor) -> Tensor:
        images = inputs.view(-1, 2, 2, 2).contiguous(memory_format=torch.channels_last)
        self.orders.add(self.images.weight.is_contiguous(memory_format=torch.channels_last))
        return self.net(inputs) + self.images(images).mean()  # type: ignore[no-any-return]

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return cross_entropy(self(batch[0]).float(), batch[1])


def fitted(module: pl.Module, tmp_path: Path, **options: Any) -> pl.Trainer:
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="gpu",
        devices=1,
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        **options,
    )
    trainer.fit(module, loader())
    return trainer


def test_channels_are_last_and_kernels_fused_on_the_device(tmp_path: Path) -> None:
    module = Pictures()
    trainer = fitted(module, tmp_path, channels_last=True, fused=True)
    assert module.orders == {True}
    assert trainer.optimizers[0].param_groups[0]["fused"] is True


@pytest.mark.filterwarnings("default")  # torch's own, of what its compiler imports
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_compiled_fit_ends_close_to_the_other_and_waits_for_nothing(precision: Any, tmp_path: Path) -> None:
    class Smooth(Pictures):
        def __init__(self) -> None:
            torch.manual_seed(5)
            super().__init__()
            self.net[3] = nn.Identity()  # its numbers would be others

    weights = []
    for compile in (False, True):
        module = Smooth()
        pl.seed_everything(5)
        fitted(module, tmp_path, compile=compile, precision=precision, callbacks=[Strict()])
        assert list(module.state_dict()) == list(Smooth().state_dict())
        weights.append(torch.cat([p.detach().float().flatten() for p in module.parameters()]))
    assert torch.allclose(weights[0], weights[1], atol=0.05)


@pytest.mark.parametrize(
    ("options", "more"),
    [
        ({"auto_wrap_policy": ["Linear"]}, {}),
        ({"auto_wrap_policy": 20, "activation_checkpointing_policy": ["Linear"]}, {}),
        ({"auto_wrap_policy": ["Linear"], "cpu_offload": True}, {}),
        ({}, {"precision": "bf16-mixed"}),
        ({"mixed_precision": {"param_dtype": "bfloat16", "reduce_dtype": "float32"}}, {"fused": True}),
    ],
)
def test_a_module_is_divided_on_one_device(
    options: dict[str, Any], more: dict[str, Any], tmp_path: Path
) -> None:
    """A group of one: what torch does with each option on a GPU, and that a second verb finds it divided."""
    module = Network()
    trainer = fitted(module, tmp_path, strategy={"name": "fsdp", **options}, **more)
    assert all(value.isfinite().all() for value in trainer.strategy.state_dict(module).values())
    kept = {parameter.device.type for parameter in module.parameters()}
    assert kept == ({"cpu"} if options.get("cpu_offload") else {"cuda"})
    (scores,) = trainer.validate(module, loader(), verbose=False)
    assert 0 < scores["val_loss"] < 10


def test_times_of_a_step_are_taken_without_waiting_for_the_device(tmp_path: Path) -> None:
    class Heavy(Network):
        """A forward that the device is busy with, and that the program is done with at once."""

        def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
            torch.cuda._sleep(20_000_000)
            return super().training_step(batch, batch_idx)

    strict, timer, logger = Strict(), StepTimer(), CSVLogger(tmp_path)
    pl.Trainer(
        max_epochs=1,
        accelerator="gpu",
        logger=logger,
        log_every_n_steps=1,
        callbacks=[timer, strict],
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    ).fit(Heavy(), loader())
    assert strict.batches == 17
    report = timer.report
    assert report is not None
    assert report.ranks[0].times.batches == 19
    others = [phase for phase in PHASES if phase != "forward"]
    assert report.ms("forward") > max(report.ms(phase) for phase in others)
    memory = report.ranks[0].memory
    assert 0 < memory["allocated"] <= memory["reserved"]
    content = (tmp_path / "lightning_logs" / "version_0" / "metrics.csv").read_text()
    assert "time/forward_ms" in content and "memory/allocated_peak_mb" in content


def test_the_share_of_the_device_is_told_where_its_peak_is_known(tmp_path: Path) -> None:
    timer = StepTimer()
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="gpu",
        precision="bf16-mixed",
        logger=False,
        callbacks=[timer],
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    trainer.fit(Network(), loader())
    assert timer.report is not None
    # 8 to 16 to 2: forward, the weights' gradients, and what goes into the second layer.
    wanted = 2 * (2 * (8 * 16 + 16 * 2)) + 2 * 16 * 2
    known = available_flops(torch.device("cuda", 0), "bf16-mixed")
    assert timer.report.peak_flops == known
    assert timer.report.ranks[0].flops_per_sample == (wanted if known else 0)
    assert (timer.report.mfu is None) == (known is None)
