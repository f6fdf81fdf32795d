from __future__ import annotations

import importlib

import pytest

import lifecycle as pl


@pytest.mark.parametrize("module", ["lifecycle", "lifecycle.callbacks"])
def test_every_public_name_is_there(module: str) -> None:
    offered = importlib.import_module(module)
    for name in offered.__all__:
        assert getattr(offered, name).__name__ in (name, name.removeprefix("Lightning"))


def test_the_names_can_be_listed() -> None:
    assert set(pl.__all__) <= set(dir(pl))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("lifecycle", r"^module 'lifecycle' has no attribute 'Trainr'; it offers: Callback, DataModule, "),
        (
            "lifecycle.callbacks",
            r"^module 'lifecycle.callbacks' has no attribute 'Trainr'; it offers: BackboneFinetuning, ",
        ),
    ],
)
def test_a_name_that_is_not_there_is_told_with_those_that_are(module: str, message: str) -> None:
    with pytest.raises(AttributeError, match=message):
        _ = importlib.import_module(module).Trainr


def test_the_surface_is_what_it_is() -> None:
    assert set(pl.__all__) == {
        "Callback",
        "DataModule",
        "LightningDataModule",
        "LightningModule",
        "Module",
        "Pipeline",
        "Signature",
        "TensorSpec",
        "Trainer",
        "seed_everything",
        "with_forward",
    }


LIGHTNINGS_WAYS = """
lifecycle.callbacks.early_stopping: EarlyStopping
lifecycle.callbacks.progress.tqdm_progress: TQDMProgressBar
lifecycle.core: LightningModule LightningDataModule
lifecycle.core.datamodule: LightningDataModule
lifecycle.core.module: LightningModule
lifecycle.core.optimizer: LightningOptimizer
lifecycle.loggers.tensorboard: TensorBoardLogger
lifecycle.trainer.states: RunningStage TrainerFn TrainerStatus
lifecycle.utilities.data: extract_batch_size
lifecycle.utilities.exceptions: MisconfigurationException
lifecycle.utilities.rank_zero: rank_zero_deprecation rank_zero_only
lifecycle.utilities.types: STEP_OUTPUT OptimizerLRScheduler
lifecycle.utilities.warnings: PossibleUserWarning
"""


@pytest.mark.parametrize("line", LIGHTNINGS_WAYS.strip().splitlines())
def test_what_scripts_import_from_lightnings_files_is_found_under_ours(line: str) -> None:
    module, _, names = line.partition(": ")
    for name in names.split():
        assert hasattr(importlib.import_module(module), name)


def test_it_is_the_class_itself() -> None:
    from lifecycle.core.module import LightningModule  # type: ignore[import-not-found]

    assert LightningModule is pl.Module
