from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lifecycle.compress.channels import prune_channels_
from lifecycle.compress.distillation import Distillation
from lifecycle.compress.structured_pruning import StructuredPruning
from lifecycle.core.errors import UsageError
from lifecycle.train.callbacks import Callback
from lifecycle.train.module import Module
from tests.compress.networks import EXAMPLE, digits, fit
from tests.compress.test_structured_pruning import IMAGES, Classifier, StopAt, loader, state, trainer


class Unlabelled(Classifier):
    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        self(batch[0])
        return torch.zeros((), requires_grad=True)


class Losses(Callback):
    def __init__(self) -> None:
        self.seen: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Module, outputs: Any, *_: object) -> None:
        own = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.seen.append({**own, "loss": float(outputs["loss"])})


def test_the_loss_is_the_steps_own_and_the_distance_in_their_parts(tmp_path: Path) -> None:
    losses = Losses()
    teacher = Classifier()
    teaching = Distillation(teacher, temperature=2, weight=0.25)
    module = Classifier()
    trainer(tmp_path, teaching, losses).fit(module, loader())
    first = losses.seen[0]
    # teacher and student begin with the same weights; only the mode of batch normalisation differs
    assert first["distill_loss"] > 0
    assert first["loss"] == pytest.approx(0.75 * first["train_loss"] + first["distill_loss"], rel=1e-5)
    assert not module.training_step.__name__.startswith("_") and "training_step" not in vars(module)
    assert not module._forward_hooks and not any(p.requires_grad for p in teacher.parameters())


def test_without_labels_a_pruned_student_comes_to_answer_as_its_teacher(tmp_path: Path) -> None:
    teacher = Classifier()
    fit(teacher, digits()[0], epochs=3, lr=0.02)

    def agreement(module: nn.Module) -> float:
        with torch.no_grad():
            return float((module.eval()(IMAGES).argmax(1) == teacher(IMAGES).argmax(1)).float().mean())

    module = Unlabelled()
    module.load_state_dict(teacher.state_dict())
    pruned = copy.deepcopy(module)
    prune_channels_(pruned, EXAMPLE, macs=0.5)
    trainer(tmp_path, Distillation(weight=1.0), StructuredPruning(macs=0.5)).fit(module, loader())
    assert agreement(pruned) + 0.2 < agreement(module)


def test_features_teach_too(tmp_path: Path) -> None:
    losses = Losses()
    teaching = Distillation(weight=0.0, features=["network.blocks.0"], feature_weight=3.0)
    trainer(tmp_path, teaching, StructuredPruning(macs=0.5), losses).fit(Unlabelled(), loader())
    assert all(seen["distill_loss"] > 0 for seen in losses.seen)
    assert losses.seen[-1]["distill_loss"] < losses.seen[0]["distill_loss"]


def test_a_fit_that_is_killed_goes_on_to_the_bit(tmp_path: Path) -> None:
    def callbacks() -> list[Callback]:
        return [
            Distillation(features=["network.stem"]),
            StructuredPruning(macs=0.5, steps=2, every_n_steps=4),
        ]

    whole, work = Classifier(), trainer(tmp_path, *callbacks())
    torch.manual_seed(3)
    work.fit(whole, loader())
    killed, stopped = Classifier(), trainer(tmp_path, *callbacks(), StopAt(6, tmp_path / "killed.ckpt"))
    torch.manual_seed(3)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(killed, loader())
    assert "training_step" not in vars(killed)
    again, rest = Classifier(), trainer(tmp_path, *callbacks())
    rest.fit(again, loader(), ckpt_path=tmp_path / "killed.ckpt")
    wanted, got = state(whole, work), state(again, rest)
    assert all(torch.equal(wanted[name], got[name]) for name in wanted)


def test_a_teacher_that_would_be_the_pruned_module_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"stands behind StructuredPruning.*\nname it before"):
        trainer(tmp_path, StructuredPruning(macs=0.5), Distillation()).fit(Classifier(), loader())


def test_a_step_that_goes_around_forward_is_refused(tmp_path: Path) -> None:
    class Around(Classifier):
        def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
            return F.cross_entropy(self.network(batch[0]), batch[1])

    with pytest.raises(UsageError, match=r"Around\.training_step never calls self\(inputs\)"):
        trainer(tmp_path, Distillation()).fit(Around(), loader())


def test_wrong_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="temperature: expected a number above 0, got 0"):
        Distillation(temperature=0)
    with pytest.raises(UsageError, match="weight: expected a number from 0 to 1, got 2"):
        Distillation(weight=2)
    with pytest.raises(UsageError, match=r"no layer 'network\.block': did you mean 'network\.blocks'"):
        trainer(tmp_path, Distillation(features=["network.block"])).fit(Classifier(), loader())
