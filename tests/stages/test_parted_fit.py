"""The train stage with a fit of two processes that write their checkpoints together."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from lifecycle.core.budget import Budget
from lifecycle.core.stage import Context
from lifecycle.stages.train import Train
from lifecycle.train.sharded.index import is_sharded

TRAINER = {"max_epochs": 2, "devices": 2, "limit_train_batches": 3, "limit_val_batches": 2}


def test_it_becomes_the_artifact_that_a_whole_checkpoint_becomes(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    context = dataclasses.replace(context, budget=Budget(metric="val_acc", mode="max"))
    made = {
        kind: Train(trainer=TRAINER | {"strategy": {"name": "fsdp", "state_dict_type": kind}}).run(
            {}, tmp_path / kind, context
        )
        for kind in ("full", "sharded")
    }
    assert made["full"].digest == made["sharded"].digest
    best = {kind: tmp_path / f".{kind}.work" / "best.ckpt" for kind in made}
    assert best["full"].is_file()
    assert is_sharded(best["sharded"])
