from __future__ import annotations

from pathlib import Path

import pytest

import lifecycle as pl
from lifecycle.core.budget import Budget
from lifecycle.core.errors import UsageError
from lifecycle.core.reference import Reference
from lifecycle.core.stage import Context, Project
from lifecycle.stages.held_out import check_held_out, check_validation


class TrainingOnly(pl.DataModule):
    def train_dataloader(self) -> list[int]:
        return [1]


class Both(TrainingOnly):
    def val_dataloader(self) -> list[int]:
        return [2]


def context(data: type, **budget: object) -> Context:
    project = Project(name="n", root=Path(), model=Reference("m.py:M"), data=Reference("d.py:D"))
    return Context(project=project, data=data, budget=Budget(**budget))


def test_a_budget_on_data_that_is_not_held_out_is_refused_before_training() -> None:
    with pytest.raises(
        UsageError, match=r"'val_acc' is measured on held-out data, and TrainingOnly has none.*\n.*split"
    ):
        check_validation(context(TrainingOnly, metric="val_acc", max_drop=0.01))
    check_validation(context(Both, metric="val_acc"))
    check_validation(context(TrainingOnly))


def test_a_metric_that_is_not_logged_is_named_with_the_closest() -> None:
    measured = {"val_acc": 0.9, "val_loss": 0.1, "macs": 7.0}
    with pytest.raises(
        UsageError, match=r"never logs: did you mean 'val_acc'\? Allowed: val_acc, val_loss\n"
    ):
        check_held_out(context(Both, metric="val_accc"), measured)
    check_held_out(context(Both, metric="val_acc"), measured)
