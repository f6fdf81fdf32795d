"""Callbacks that change a module's structure, in processes that a fit starts: it is changed where they came from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import lifecycle as pl
from lifecycle.callbacks import QuantizationAwareTraining, StructuredPruning

ROOT = str(Path(__file__).parents[2])
WAYS: dict[str, Any] = {
    "pruned": lambda: StructuredPruning(channels=0.5, round_to=1),
    "quantized": lambda: QuantizationAwareTraining(calibration_batches=[(torch.randn(8, 4),)]),
}


class Net(pl.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
        self.example_input_array = torch.zeros(2, 4)

    def forward(self, rows: Tensor) -> Tensor:
        found: Tensor = self.net(rows)
        return found

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return nn.functional.mse_loss(self(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit_twice(way: str, folder: Path) -> dict[str, Any]:
    """Fit a module in two processes that are forked from here, and then the same one again, with one callback."""
    pl.seed_everything(4, verbose=False)
    rows = torch.randn(32, 4)
    loader = DataLoader(TensorDataset(rows, rows[:, :2]), 8)
    module, callback = Net(), WAYS[way]()
    trainer = pl.Trainer(
        strategy="ddp_fork",
        devices=2,
        accelerator="cpu",
        max_epochs=1,
        callbacks=[callback],
        logger=False,
        enable_checkpointing=True,
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, loader)
    saved = torch.load(trainer.checkpoint_callback.best_model_path, weights_only=True)["state_dict"]
    here = module.state_dict()
    found = {
        "same": saved.keys() == here.keys() and all(torch.equal(saved[name], here[name]) for name in saved),
        "shapes": {name: list(value.shape) for name, value in module.named_parameters()},
        "known": bool(getattr(callback, "edits", None) or callback.edit),
    }
    trainer.fit_loop.max_epochs = 2
    trainer.fit(module, loader)
    again = {name: list(value.shape) for name, value in module.named_parameters()}
    return found | {"again": again == found["shapes"]}


@pytest.mark.parametrize("way", WAYS)
def test_the_module_here_becomes_what_was_trained_there(way: str, tmp_path: Path) -> None:
    program = (
        "import json, sys; from pathlib import Path; from tests.compress.test_several_processes import fit_twice; "
        "print(json.dumps(fit_twice(sys.argv[1], Path(sys.argv[2]))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, way, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": ROOT, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["same"], found["known"], found["again"]) == (True, True, True)
    if way == "pruned":
        assert found["shapes"]["net.0.weight"] == [8, 4]
