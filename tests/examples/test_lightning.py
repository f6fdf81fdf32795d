"""The Lightning example: the module as it was written, trained here; but for one line it is Lightning's."""

from __future__ import annotations

import re

import pytest

import lifecycle as pl
from tests.examples.folders import EXAMPLES, imported

FOLDER = EXAMPLES / "lightning"


@pytest.mark.parametrize("name", ["lit_digits.py", "train.py"])
def test_the_import_alone_is_another(name: str) -> None:
    lines = [line for line in (FOLDER / name).read_text().splitlines() if "lifecycle" in line]
    assert lines == ["import lifecycle as pl  # was: import lightning.pytorch as pl"]


def test_the_module_trains_tests_and_predicts() -> None:
    with imported(FOLDER, "lit_digits") as (lit,):
        pl.seed_everything(7)
        model, data = lit.LitDigits(), lit.DigitsDataModule()
        trainer = pl.Trainer(
            max_epochs=3,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            accelerator="cpu",
        )
        trainer.fit(model, datamodule=data)
        assert {"train_loss_step", "train_loss_epoch", "train_acc", "val_acc"} <= set(
            trainer.callback_metrics
        )
        (scores,) = trainer.test(model, datamodule=data, verbose=False)
        (predicted,) = trainer.predict(model, datamodule=data)
        right = sum(int(p) == int(y) for p, (_, y) in zip(predicted, data.test_set, strict=True))
    assert scores["test_acc"] == pytest.approx(right / 540) and right > 0.85 * 540


def test_its_readme_says_which_line() -> None:
    assert re.search(r"^import lifecycle as pl  # was", (FOLDER / "README.md").read_text(), re.MULTILINE)
