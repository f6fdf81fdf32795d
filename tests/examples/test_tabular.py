"""The example of rows of numbers: recall is counted over the split, whatever its batches hold."""

from __future__ import annotations

import pytest
import torch

import lifecycle as pl
from tests.examples.folders import EXAMPLES, imported


def test_recall_is_that_of_the_whole_split() -> None:
    with imported(EXAMPLES / "tabular", "data", "model") as (data, model):
        pl.seed_everything(7)
        net, tumours = model.TumourNet(), data.Tumours()
        trainer = pl.Trainer(
            max_epochs=4,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            accelerator="cpu",
        )
        trainer.fit(net, datamodule=tumours)
        (scores,) = trainer.test(net, datamodule=tumours, verbose=False)
        rows, labels = (torch.stack(part) for part in zip(*tumours.test, strict=True))
    with torch.inference_mode():
        found = net.eval()(rows).argmax(dim=1)
    assert scores["test_recall"] == pytest.approx(float((found[labels == 1] == 1).float().mean()))
    assert scores["test_acc"] == pytest.approx(float((found == labels).float().mean()))
    assert scores["test_acc"] > 0.85
