from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import mse_loss

import lifecycle as pl
from lifecycle.callbacks import ModelCheckpoint, ModelSummary, ProgressBar, RichProgressBar
from lifecycle.core.errors import UsageError
from lifecycle.train.loggers import MLFlowLogger
from tests.train.small import Plain, Recorder, loader, quiet, samples, seeded


class Data(pl.DataModule):
    """The samples, for every purpose, and what was asked of it."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def prepare_data(self) -> None:
        self.told.append("prepare_data")

    def setup(self, stage: str) -> None:
        assert self.trainer is not None
        self.told.append(f"setup {stage}")

    def teardown(self, stage: str) -> None:
        self.told.append(f"teardown {stage}")

    def train_dataloader(self) -> Any:
        self.told.append("train")
        return loader(shuffle=True)

    def val_dataloader(self) -> Any:
        self.told.append("val")
        return loader()

    def test_dataloader(self) -> Any:
        self.told.append("test")
        return loader()

    def predict_dataloader(self) -> Any:
        self.told.append("predict")
        return [samples().tensors[0][:3]]


def whole_loss(module: Plain) -> float:
    inputs, targets = samples().tensors
    with torch.inference_mode():
        return mse_loss(module(inputs), targets).item()


def test_training_makes_the_loss_smaller() -> None:
    module = seeded(Plain)
    before = whole_loss(module)
    quiet(max_epochs=20).fit(module, loader(shuffle=True))
    assert whole_loss(module) < before / 10


@pytest.mark.parametrize(("verb", "split"), [("validate", "val"), ("test", "test")])
def test_validate_and_test_return_what_the_steps_logged(verb: str, split: str) -> None:
    module = seeded(Plain)
    metrics = getattr(quiet(), verb)(module, loader())
    assert metrics == [{f"{split}_loss": pytest.approx(whole_loss(module), rel=1e-6)}]


def test_predict_returns_what_forward_gives_for_each_batch() -> None:
    module = seeded(Plain)
    inputs: Any = samples().tensors[0]
    predictions: Any = quiet().predict(module, inputs.split(8))
    assert [tuple(batch.shape) for batch in predictions] == [(8, 1), (8, 1), (6, 1)]
    with torch.inference_mode():
        assert torch.equal(torch.cat(predictions), torch.cat([module(batch) for batch in inputs.split(8)]))


def test_predict_uses_the_users_step() -> None:
    class Twice(Plain):
        def predict_step(self, batch: list[Tensor], batch_idx: int) -> object:
            return batch_idx * 2

    assert quiet(limit_predict_batches=3).predict(Twice(), loader()) == [0, 2, 4]


@pytest.mark.parametrize(
    ("verb", "told"),
    [
        ("fit", ["prepare_data", "setup fit", "val", "train", "teardown fit"]),
        ("validate", ["prepare_data", "setup validate", "val", "teardown validate"]),
        ("test", ["prepare_data", "setup test", "test", "teardown test"]),
        ("predict", ["prepare_data", "setup predict", "predict", "teardown predict"]),
    ],
)
def test_a_data_module_is_asked_for_what_the_verb_needs(verb: str, told: list[str]) -> None:
    data, trainer = Data(), quiet()
    getattr(trainer, verb)(Plain(), datamodule=data)
    assert data.told == told
    assert data.trainer is trainer


@pytest.mark.parametrize(
    ("limit", "batches"), [(1, 1), (4, 4), (99, 6), (1.0, 6), (0.5, 3), (0.34, 2), (0, 0), (0.0, 0)]
)
@pytest.mark.parametrize("split", ["train", "val", "test", "predict"])
def test_limits_are_a_number_of_batches_or_a_fraction_of_them(split: str, limit: float, batches: int) -> None:
    seen: list[int] = []

    class Counting(Plain):
        def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
            self.count(batch_idx, "train")
            return super().training_step(batch, batch_idx)

        def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
            self.count(batch_idx, "val")

        def test_step(self, batch: list[Tensor], batch_idx: int) -> None:
            self.count(batch_idx, "test")

        def predict_step(self, batch: list[Tensor], batch_idx: int) -> None:
            self.count(batch_idx, "predict")

        def count(self, batch_idx: int, kind: str) -> None:
            if kind == split:
                seen.append(batch_idx)

    trainer, module = quiet(num_sanity_val_steps=0, **{f"limit_{split}_batches": limit}), Counting()
    if split in ("train", "val"):
        trainer.fit(module, loader(), loader())
    else:
        getattr(trainer, split)(module, loader())
    assert seen == list(range(batches))


def test_a_fit_with_no_batch_to_validate_skips_validation() -> None:
    called = []

    class Watch(pl.Callback):
        def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.Module) -> None:
            called.append(trainer.current_epoch)

    quiet(limit_val_batches=0, callbacks=Watch()).fit(Plain(), loader(), loader())
    assert called == []


def test_validation_runs_every_nth_epoch() -> None:
    epochs = []

    class Watch(pl.Callback):
        def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.Module) -> None:
            epochs.append(trainer.current_epoch)

    options = {"check_val_every_n_epoch": 3, "limit_train_batches": 1, "num_sanity_val_steps": 0}
    quiet(max_epochs=7, callbacks=[Watch()], **options).fit(Plain(), loader(), loader())
    assert epochs == [2, 5]


def test_a_module_without_a_validation_step_is_fitted_without() -> None:
    class Unscored(pl.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, 1)

        def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
            return self.layer(batch[0]).sum()  # type: ignore[no-any-return]

        def configure_optimizers(self) -> object:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    trainer = quiet()
    trainer.fit(Unscored(), loader(), loader())
    assert trainer.global_step == 6


def test_the_trainer_tells_where_it_is() -> None:
    told = []

    class Asking(Plain):
        def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
            trainer = self.trainer
            assert trainer is not None
            told.append((self.current_epoch, self.global_step))
            assert (trainer.current_epoch, trainer.global_step) == told[-1]
            assert trainer.lightning_module is self
            assert isinstance(trainer.optimizers[0], torch.optim.SGD)
            return super().training_step(batch, batch_idx)

    module = Asking()
    trainer = quiet(max_epochs=2, limit_train_batches=2)
    trainer.fit(module, loader())
    assert told == [(0, 0), (0, 1), (1, 2), (1, 3)]
    assert module.trainer is trainer and trainer.lightning_module is module
    assert (module.current_epoch, module.global_step) == (2, 4)


def test_a_copy_of_a_module_belongs_to_no_trainer() -> None:
    module = Plain()
    quiet().fit(module, loader())
    copy = deepcopy(module)
    assert copy.trainer is None and module.trainer is not None
    assert torch.equal(copy(torch.ones(1, 4)), module(torch.ones(1, 4)))


def test_what_was_fitted_is_what_is_tested_and_saved(tmp_path: Path) -> None:
    trainer = quiet()
    with pytest.raises(UsageError, match="there is no module yet: pass one, or fit one first"):
        trainer.test(dataloaders=loader())
    module = Plain()
    trainer.fit(module, loader())
    assert trainer.test(dataloaders=loader()) == trainer.test(module, loader())
    trainer.save_checkpoint(tmp_path / "after.ckpt")
    again = Plain.load_from_checkpoint(tmp_path / "after.ckpt")
    assert torch.equal(again(torch.ones(1, 4)), module(torch.ones(1, 4)))


def test_the_seed_of_seed_everything_decides_a_fit() -> None:
    def fitted(seed: int) -> float:
        module = seeded(dropout=0.5)
        pl.seed_everything(seed)
        quiet().fit(module, loader(shuffle=True))
        return float(module.net[0].weight.detach().sum())

    assert fitted(1) == fitted(1) != fitted(2)


def test_deterministic_lasts_as_long_as_the_verb() -> None:
    seen = []

    class See(Plain):
        def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
            seen.append(torch.are_deterministic_algorithms_enabled())
            return super().training_step(batch, batch_idx)

    for deterministic in (True, False):
        quiet(limit_train_batches=1, deterministic=deterministic).fit(See(), loader())
    assert seen == [True, False]
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()])
@pytest.mark.parametrize("verb", ["fit", "test"])
def test_whatever_is_raised_goes_to_callbacks_and_on(error: BaseException, verb: str) -> None:
    told: list[BaseException] = []

    class Watch(pl.Callback):
        def on_exception(self, trainer: pl.Trainer, pl_module: pl.Module, exception: BaseException) -> None:
            told.append(exception)

        def teardown(self, trainer: pl.Trainer, pl_module: pl.Module, stage: str) -> None:
            told.append(AssertionError("torn down"))

    class Broken(Plain):
        def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
            raise error

        def test_step(self, batch: list[Tensor], batch_idx: int) -> None:
            raise error

    module, data = Broken(), Data()
    trainer = quiet(callbacks=Watch(), deterministic=True)
    with pytest.raises(type(error)):
        getattr(trainer, verb)(module, datamodule=data)
    assert told == [error]
    assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(UsageError, match=r"not outside of them$"):
        module.log("x", 1.0)


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_by_default_there_are_a_bar_a_summary_a_checkpoint_and_a_logger(tmp_path: Path) -> None:
    defaults = [RichProgressBar, ModelSummary, ModelCheckpoint]
    for version in range(2):
        trainer = pl.Trainer(max_epochs=2, default_root_dir=tmp_path, log_every_n_steps=6)
        assert [type(callback) for callback in trainer.callbacks] == defaults
        trainer.fit(Plain(), loader(), loader())
        run = tmp_path / "lightning_logs" / f"version_{version}"
        assert trainer.log_dir == str(run)
        assert trainer.checkpoint_callback.best_model_path == str(run / "checkpoints/epoch=1-step=12.ckpt")
        names = files_below(run)
        assert [name for name in names if name.startswith("checkpoints")] == [
            "checkpoints/epoch=1-step=12.ckpt"
        ]
        assert "hparams.yaml" in names and len(names) > 2


def test_a_callback_that_is_given_replaces_the_default(tmp_path: Path) -> None:
    given = [ModelCheckpoint(tmp_path), ProgressBar()]
    trainer = pl.Trainer(callbacks=given)
    bar, summary, checkpoint = trainer.callbacks
    assert (bar, checkpoint) == (given[1], given[0])
    assert type(summary) is ModelSummary
    assert trainer.checkpoint_callback is given[0]
    assert trainer.progress_bar_callback is given[1]
    assert quiet().checkpoint_callback is None


@pytest.mark.parametrize("logger", [None, True])
def test_the_default_logger_writes_below_the_root_folder(tmp_path: Path, logger: bool | None) -> None:
    quiet(logger=logger, default_root_dir=tmp_path).fit(Plain(), loader())
    assert {Path(name).parent.as_posix() for name in files_below(tmp_path)} == {"lightning_logs/version_0"}


def test_without_a_logger_numbers_go_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trainer = quiet(logger=False)
    trainer.fit(Plain(), loader())
    assert (trainer.loggers, trainer.logger) == ([], None)
    assert "train_loss" in trainer.callback_metrics
    assert list(tmp_path.iterdir()) == []


def test_a_logger_is_any_tracker() -> None:
    recorder = Recorder()
    quiet(logger=recorder, log_every_n_steps=6).fit(Plain(), loader())
    assert [(step, sorted(sent)) for step, sent in recorder.sent] == [
        (5, ["epoch", "train_loss_step"]),
        (5, ["epoch", "train_loss_epoch"]),
    ]
    assert hasattr(MLFlowLogger, "log_metrics")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_epochs": -2}, r"^Trainer\(max_epochs=-2\): expected a whole number of at least -1$"),
        ({"max_steps": -2}, r"^Trainer\(max_steps=-2\): expected a whole number of at least -1$"),
        ({"accumulate_grad_batches": 0}, r"^Trainer\(accumulate_grad_batches=0\): expected a whole number"),
        (
            {"log_every_n_steps": -1},
            r"^Trainer\(log_every_n_steps=-1\): expected a whole number of at least 0$",
        ),
        ({"check_val_every_n_epoch": 0}, r"^Trainer\(check_val_every_n_epoch=0\): expected a whole number"),
        (
            {"limit_val_batches": 1.5},
            r"^Trainer\(limit_val_batches=1.5\): expected a whole number of batches, or a fraction of them from 0.0 to 1.0$",
        ),
        (
            {"limit_train_batches": -1},
            r"^Trainer\(limit_train_batches=-1\): expected a whole number of batches",
        ),
    ],
)
def test_a_wrong_option_is_refused(options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        pl.Trainer(**options)


def test_a_module_that_did_not_initialise_is_told_so() -> None:
    class Forgot(pl.Module):
        def __init__(self) -> None:
            torch.nn.Module.__init__(self)

    with pytest.raises(UsageError, match=r"^Forgot.__init__ must call super\(\).__init__\(\) first$"):
        quiet().fit(Forgot(), loader())


def test_a_fit_without_data_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        quiet().fit(Plain())
    assert str(caught.value) == (
        "there is nothing to iterate over: pass loaders or datamodule=…, or define train_dataloader in Plain"
    )


def test_a_data_module_may_stand_in_the_place_of_loaders() -> None:
    trainer, module = quiet(), Plain()
    trainer.fit(module, Data())
    expected = trainer.test(module, datamodule=Data())
    assert trainer.test(module, Data()) == expected
    assert len(trainer.predict(module, Data())) == len(trainer.predict(module, datamodule=Data()))


def test_a_fraction_needs_a_length_and_a_batch() -> None:
    with pytest.raises(
        UsageError,
        match=r"^limit_train_batches=0.5 is a fraction, and the train loader has no length: give a",
    ):
        quiet(limit_train_batches=0.5).fit(Plain(), (batch for batch in loader()))
    with pytest.raises(UsageError, match=r"^limit_train_batches=0.1 of 6 batches is less than one: give a"):
        quiet(limit_train_batches=0.1).fit(Plain(), loader())
