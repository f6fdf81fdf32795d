from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lifecycle.callbacks import ModelCheckpoint

VALUES: dict[str, Any] = {
    "epoch": 7,
    "step": torch.tensor(70),
    "val_loss": torch.tensor(0.12345),
    "val/acc": 0.987,
    "epoch_x": 3,
}


@pytest.mark.parametrize(
    ("template", "inserted", "plain"),
    [
        (None, "epoch=7-step=70.ckpt", "7-70.ckpt"),
        ("{epoch:03d}", "epoch=007.ckpt", "007.ckpt"),
        ("{epoch}-{epoch_x}-{epoch}", "epoch=7-epoch_x=3-epoch=7.ckpt", "7-3-7.ckpt"),
        ("loss-{val_loss:.2f}", "loss-val_loss=0.12.ckpt", "loss-0.12.ckpt"),
        ("{val/acc:.1f}", "val/acc=1.0.ckpt", "1.0.ckpt"),
        ("{missing:d}-{nope:.1f}-{none}", "missing=0-nope=0.0-none=0.ckpt", "0-0.0-0.ckpt"),
        ("best", "best.ckpt", "best.ckpt"),
        ("{epoch}/at {step:04d}", "epoch=7/at step=0070.ckpt", "7/at 0070.ckpt"),
    ],
)
def test_templates_are_filled_in(tmp_path: Path, template: str | None, inserted: str, plain: str) -> None:
    for insert, expected in ((True, inserted), (False, plain)):
        keep = ModelCheckpoint(tmp_path, template, auto_insert_metric_name=insert)
        assert keep.format_checkpoint_name(VALUES) == str(tmp_path / expected)
    assert ModelCheckpoint(filename=template).format_checkpoint_name(VALUES) == inserted


def test_versions_prefixes_and_other_templates() -> None:
    keep = ModelCheckpoint(filename="{epoch}")
    assert keep.format_checkpoint_name(VALUES, ver=2) == "epoch=7-v2.ckpt"
    assert keep.format_checkpoint_name(VALUES, prefix="fold3") == "fold3-epoch=7.ckpt"
    assert keep.format_checkpoint_name(VALUES, "{step}", 1, "a") == "a-step=70-v1.ckpt"


def test_its_characters_can_be_changed() -> None:
    keep = ModelCheckpoint()
    keep.CHECKPOINT_JOIN_CHAR, keep.CHECKPOINT_EQUALS_CHAR, keep.FILE_EXTENSION = "_", ":", ".pt"
    assert keep.format_checkpoint_name(VALUES, ver=1) == "epoch:7_step:70_v1.pt"


def test_values_that_were_given_stay_as_they_are() -> None:
    values = dict(VALUES)
    ModelCheckpoint(filename="{missing}").format_checkpoint_name(values)
    assert values == VALUES
