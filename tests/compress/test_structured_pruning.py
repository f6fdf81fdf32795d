from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from lifecycle.compress.cost import count_cost
from lifecycle.compress.structured_pruning import StructuredPruning
from lifecycle.core.errors import UsageError
from lifecycle.train.callbacks import ModelCheckpoint
from lifecycle.train.callbacks.base import Callback
from lifecycle.train.checkpoint import load_ckpt
from lifecycle.train.module import Module
from lifecycle.train.trainer import Trainer
from tests.compress.networks import EXAMPLE, Residual, digits

IMAGES, LABELS = digits()[0]


class Classifier(Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = Residual(8)
        self.example_input_array = EXAMPLE[0]

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        loss = F.cross_entropy(self(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.network.parameters(), lr=0.01)


def loader() -> Any:
    return DataLoader(TensorDataset(IMAGES[:256], LABELS[:256]), 32, shuffle=True)


class StopAt(Callback):
    """Ends the process's work at a step, as a kill would, with a checkpoint of that step on disk."""

    def __init__(self, step: int, path: Path) -> None:
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)
            raise KeyboardInterrupt


def trainer(folder: Path, *callbacks: Callback) -> Trainer:
    return Trainer(
        max_epochs=2,
        callbacks=list(callbacks),
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        default_root_dir=folder,
        deterministic=True,
    )


def state(module: Module, work: Trainer) -> dict[str, Tensor]:
    found = dict(module.state_dict())
    for index, moments in enumerate(work.optimizers[0].state_dict()["state"].values()):
        found |= {f"moment {index} {name}": value for name, value in moments.items()}
    return found


def options(kind: str) -> Mapping[str, Any]:
    rounds = {"steps": 3, "every_n_steps": 4} if kind == "in rounds" else {}
    return {"macs": 0.4, "importance": "taylor", "batches": list(loader())[:2], **rounds}


def fitted(folder: Path, kind: str) -> tuple[Module, Trainer, StructuredPruning]:
    module, pruning = Classifier(), StructuredPruning(**fixed(kind))
    work = trainer(folder, pruning)
    torch.manual_seed(3)
    work.fit(module, loader())
    return module, work, pruning


def fixed(kind: str) -> Mapping[str, Any]:
    torch.manual_seed(1)
    return options(kind)


@pytest.mark.parametrize(("kind", "killed_at"), [("at once", 4), ("in rounds", 4), ("in rounds", 9)])
def test_a_fit_that_is_killed_goes_on_to_the_bit(tmp_path: Path, kind: str, killed_at: int) -> None:
    whole, work, pruning = fitted(tmp_path, kind)
    assert len(pruning.edits) == (3 if kind == "in rounds" else 1)
    assert count_cost(whole, EXAMPLE).macs <= 0.4 * count_cost(Classifier(), EXAMPLE).macs
    path = tmp_path / "killed.ckpt"
    killed, stopped = (
        Classifier(),
        trainer(tmp_path, StructuredPruning(**fixed(kind)), StopAt(killed_at, path)),
    )
    torch.manual_seed(3)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(killed, loader())
    again, resumed = Classifier(), StructuredPruning(**fixed(kind))
    rest = trainer(tmp_path, resumed)
    rest.fit(again, loader(), ckpt_path=path)
    assert resumed.edits == pruning.edits
    wanted, got = state(whole, work), state(again, rest)
    assert wanted.keys() == got.keys()
    assert all(torch.equal(wanted[name], got[name]) for name in wanted)


def test_rounds_take_moments_along_with_their_weights(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    class Watch(Callback):
        def on_train_batch_end(self, trainer: Trainer, pl_module: Module, *_: object) -> None:
            state = trainer.optimizers[0].state
            parameters = dict(pl_module.named_parameters())
            assert all(p in state and state[p]["exp_avg"].shape == p.shape for p in parameters.values())
            seen.append((trainer.global_step, count_cost(pl_module, EXAMPLE).macs))

    pruning = StructuredPruning(macs=0.3, steps=3, every_n_steps=4)
    trainer(tmp_path, pruning, Watch()).fit(Classifier(), loader())
    costs = dict(seen)
    assert costs[1] == costs[4] > costs[5] == costs[8] > costs[9] == costs[16]
    assert costs[16] <= 0.3 * count_cost(Classifier(), EXAMPLE).macs


def test_a_checkpoint_is_scored_with_a_freshly_made_module(tmp_path: Path) -> None:
    class Scored(Classifier):
        def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
            self.log("test_loss", F.cross_entropy(self(batch[0]), batch[1]))

    module, pruning = Scored(), StructuredPruning(channels=0.5)
    work = trainer(tmp_path, pruning)
    work.fit(module, loader())
    work.save_checkpoint(tmp_path / "pruned.ckpt")
    wanted = work.test(module, loader(), verbose=False)
    fresh = trainer(tmp_path, StructuredPruning(channels=0.5))
    assert fresh.test(Scored(), loader(), ckpt_path=tmp_path / "pruned.ckpt", verbose=False) == wanted


def test_a_checkpoint_of_the_dense_model_is_refused_with_what_to_do(tmp_path: Path) -> None:
    work = trainer(tmp_path)
    work.fit(Classifier(), loader())
    work.save_checkpoint(tmp_path / "dense.ckpt")
    with pytest.raises(
        UsageError, match=r"dense\.ckpt was saved without StructuredPruning.*\n.*load_from_checkpoint"
    ):
        trainer(tmp_path, StructuredPruning(macs=0.5)).fit(
            Classifier(), loader(), ckpt_path=tmp_path / "dense.ckpt"
        )


def test_checkpoints_hold_what_was_removed_as_plain_values(tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, filename="kept")
    work = Trainer(
        max_epochs=1,
        callbacks=[StructuredPruning(params=0.5), keep],
        logger=False,
        enable_progress_bar=False,
        default_root_dir=tmp_path,
    )
    work.fit(Classifier(), loader())
    saved = load_ckpt(Path(keep.best_model_path))["callbacks"]["StructuredPruning"]
    assert saved["edits"][0]["target"] == {"params": 0.5} and saved["rounds"] == 1


def test_wrong_options_are_refused_when_it_is_made() -> None:
    with pytest.raises(UsageError, match="got macs, params"):
        StructuredPruning(macs=0.5, params=0.5)
    with pytest.raises(UsageError, match="did you mean 'taylor'"):
        StructuredPruning(macs=0.5, importance="tailor")
    with pytest.raises(UsageError, match="every_n_steps: expected a whole number from 1, got 0"):
        StructuredPruning(macs=0.5, every_n_steps=0)


def test_a_criterion_that_looks_at_data_is_told_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"pass StructuredPruning\(batches=…\)"):
        trainer(tmp_path, StructuredPruning(macs=0.5, importance="hessian")).fit(Classifier(), loader())
