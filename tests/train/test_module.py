from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import lifecycle as pl
from lifecycle.callbacks import ModelCheckpoint
from lifecycle.core.errors import UsageError
from tests.train.small import Plain, loader, quiet, same


class WithoutStep(pl.Module):
    def configure_optimizers(self) -> object:
        return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)


class WithoutOptimizer(pl.Module):
    def training_step(self, batch: object, batch_idx: int) -> torch.Tensor:
        return torch.zeros(1, requires_grad=True)


class Misspelt(WithoutStep):
    def train_step(self, batch: object, batch_idx: int) -> torch.Tensor:
        return torch.zeros(1, requires_grad=True)


@pytest.mark.parametrize(
    ("module", "message", "hint"),
    [
        (
            WithoutStep,
            "WithoutStep defines no training_step",
            "Write `def training_step(self, batch, batch_idx)` and return the loss.",
        ),
        (
            WithoutOptimizer,
            "WithoutOptimizer defines no configure_optimizers",
            "Write `def configure_optimizers(self)` and return torch.optim.AdamW(self.parameters(), lr=1e-3).",
        ),
        (
            Misspelt,
            "Misspelt defines no training_step; it defines train_step",
            "Rename that to training_step.",
        ),
    ],
)
def test_what_a_fit_needs_is_asked_for(module: type[pl.Module], message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        quiet().fit(module(), loader())
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_the_names_of_lightning_name_the_same_classes() -> None:
    assert pl.LightningModule is pl.Module
    assert pl.LightningDataModule is pl.DataModule


def test_a_module_is_an_ordinary_one() -> None:
    module = Plain()
    assert set(module.state_dict()) == {"net.0.weight", "net.0.bias", "net.3.weight", "net.3.bias"}
    assert module(torch.zeros(2, 4)).shape == (2, 1)
    assert module.device == torch.device("cpu")


def test_postprocess_and_signature_are_optional() -> None:
    assert Plain().signature() is None
    assert Plain().postprocess(torch.zeros(1)) == {}


def test_before_a_run_a_module_belongs_to_nobody() -> None:
    module = Plain()
    assert module.trainer is None
    assert (module.current_epoch, module.global_step, module.global_rank, module.local_rank) == (0, 0, 0, 0)
    assert (module.logger, module.loggers, module.on_gpu) == (None, [], False)
    assert module.dtype == torch.float32 and module.double().dtype == torch.float64
    value = torch.ones(1)
    assert module.all_gather(value) is value


def test_a_module_can_be_frozen_and_thawed() -> None:
    module = Plain()
    assert module.freeze() is module
    assert not module.training and not any(p.requires_grad for p in module.parameters())
    assert module.unfreeze() is module
    assert module.training and all(p.requires_grad for p in module.parameters())


class Bringing(Plain):
    """Brings callbacks of its own."""

    def __init__(self, own: object) -> None:
        super().__init__()
        self.hparams.clear()
        self.own = own

    def configure_callbacks(self) -> object:  # type: ignore[override]
        return self.own


class First(pl.Callback):
    pass


class Second(First):
    pass


def test_a_module_brings_callbacks_that_replace_those_of_their_type(tmp_path: Path) -> None:
    given, other, keep = First(), Second(), ModelCheckpoint(tmp_path)
    own = First()
    trainer = quiet(callbacks=[given, other, keep], limit_train_batches=1)
    trainer.fit(Bringing([own]), loader())
    assert trainer.callbacks == [other, own, keep]
    alone = quiet(limit_train_batches=1)
    alone.fit(Bringing(own), loader())  # one need not be in a list
    alone.fit(Bringing(own), loader())
    assert alone.callbacks == [own]
    with pytest.raises(
        UsageError, match=r"^callbacks holds a int; write a class that derives from lifecycle"
    ):
        quiet().fit(Bringing([3]), loader())


class Late(pl.Module):
    """Makes its layer when the trainer says so, with a size that its data tells."""

    def __init__(self) -> None:
        super().__init__()
        self.layer: torch.nn.Linear | None = None
        self.asked: list[str] = []

    def setup(self, stage: str) -> None:
        self.asked.append(f"setup {stage}")

    def configure_model(self) -> None:
        self.asked.append("configure_model")
        if self.layer is None:
            self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        assert self.layer is not None
        return self.layer(batch[0]).sum()  # type: ignore[no-any-return]

    def configure_optimizers(self) -> object:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_parts_may_be_made_late() -> None:
    module, trainer = Late(), quiet()
    trainer.fit(module, loader())
    trainer.fit(module, loader())
    assert module.asked == ["setup fit", "configure_model"] * 2
    trainer.save_checkpoint("late.ckpt")
    again = Late.load_from_checkpoint("late.ckpt")
    assert again.layer is not None and module.layer is not None
    assert torch.equal(again.layer.weight, module.layer.weight)


def lightnings_file(path: Path, **more: object) -> dict[str, torch.Tensor]:
    """A checkpoint as PyTorch Lightning 2.6 writes it; returns its weights."""
    weights = {name: value + 1 for name, value in Plain(lr=0.5).state_dict().items()}
    progress = {"total": {"ready": 6, "completed": 6}, "current": {"ready": 6, "completed": 6}}
    content = {
        "epoch": 0,
        "global_step": 6,
        "pytorch-lightning_version": "2.6.6",
        "state_dict": weights,
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": progress}},
        "callbacks": {"EarlyStopping{'monitor': 'val_loss', 'mode': 'min'}": {"wait_count": 2}},
        "optimizer_states": [{"state": {}, "param_groups": [{"lr": 0.5, "params": [0, 1, 2, 3]}]}],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {"lr": 0.5, "width": 8, "of_a_base": 3},
        **more,
    }
    torch.save(content, path)
    return weights


def test_a_file_of_lightning_gives_arguments_and_weights(tmp_path: Path) -> None:
    weights = lightnings_file(tmp_path / "theirs.ckpt")
    module = Plain.load_from_checkpoint(tmp_path / "theirs.ckpt", weights_only=True)
    assert module.lr == 0.5
    assert same(dict(module.state_dict()), weights)
    assert Plain.load_from_checkpoint(str(tmp_path / "theirs.ckpt"), map_location="cpu", lr=0.1).lr == 0.1


def test_a_file_of_lightning_is_scored_and_if_it_tells_no_batch_not_trained_further(tmp_path: Path) -> None:
    lightnings_file(tmp_path / "theirs.ckpt")
    path = tmp_path / "theirs.ckpt"
    module, expected = Plain(), Plain.load_from_checkpoint(path)
    assert quiet().validate(module, loader(), ckpt_path=path) == quiet().validate(expected, loader())
    with pytest.raises(UsageError) as refused:
        quiet().fit(Plain(), loader(), ckpt_path=path)
    assert str(refused.value) == (
        "the checkpoint does not say where a fit stood, so none can go on from it; "
        "its weights can be read with load_from_checkpoint"
    )


def test_keys_must_match_unless_that_is_not_wanted(tmp_path: Path) -> None:
    path = tmp_path / "theirs.ckpt"
    weights = {name: value for name, value in Plain().state_dict().items() if "3" not in name}
    lightnings_file(path, state_dict=weights)
    with pytest.raises(UsageError):
        Plain.load_from_checkpoint(path)
    module = Plain.load_from_checkpoint(path, strict=False)
    assert torch.equal(module.net[0].weight, weights["net.0.weight"])
    assert module.strict_loading  # of later resumes nothing was said

    class Loose(Plain):
        strict_loading = False

    assert torch.equal(Loose.load_from_checkpoint(path).net[0].weight, weights["net.0.weight"])


def test_a_checkpoint_is_shown_to_the_module_first(tmp_path: Path) -> None:
    class Renamed(Plain):
        def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            old = checkpoint["state_dict"]
            checkpoint["state_dict"] = {name.removeprefix("model."): value for name, value in old.items()}

    weights = Plain().state_dict()
    lightnings_file(tmp_path / "old.ckpt", state_dict={f"model.{name}": v for name, v in weights.items()})
    module = Renamed.load_from_checkpoint(tmp_path / "old.ckpt")
    assert same(dict(module.state_dict()), dict(weights))


def test_a_resumed_fit_shows_the_checkpoint_to_the_module_first_too() -> None:
    class Renames(Plain):
        """Once called its weights something else."""

        def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            old = checkpoint["state_dict"]
            checkpoint["state_dict"] = {f"model.{name}": value for name, value in old.items()}
            checkpoint["words"] = "of the module"

        def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            old = checkpoint["state_dict"]
            checkpoint["state_dict"] = {name.removeprefix("model."): value for name, value in old.items()}
            self.words = checkpoint["words"]

    first, again = Renames(), Renames()
    trainer = quiet()
    trainer.fit(first, loader())
    trainer.save_checkpoint("renamed.ckpt")
    quiet().fit(again, loader(), ckpt_path="renamed.ckpt")
    assert same(dict(again.state_dict()), dict(first.state_dict()))
    assert again.words == "of the module"
