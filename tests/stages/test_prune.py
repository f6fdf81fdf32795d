"""The prune stage on a trained checkpoint: within the budget or not at all, and the same after a kill."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import lifecycle as pl
from lifecycle.core.artifact import Artifact, open_artifact
from lifecycle.core.budget import Budget
from lifecycle.core.errors import RefusedError, UsageError
from lifecycle.core.reference import Reference
from lifecycle.core.stage import Context, Project
from lifecycle.session import data_maker
from lifecycle.stages.prune import Prune
from lifecycle.stages.train import Train
from lifecycle.train.artifact import open_checkpoint, read_recipe
from lifecycle.train.callbacks import Callback
from tests.projects import copy_digits

OPTIONS: dict[str, Any] = {"epochs": 2, "trainer": {"limit_train_batches": 6}}


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    project = Project(
        name="digits",
        root=copy_digits(tmp_path_factory.mktemp("prune") / "project").folder,
        model=Reference("model.py:ConvNet"),
        data=Reference("data.py:Digits"),
        model_args={"width": 8},
    )
    return Context(
        project=project, data=data_maker(project), seed=7, budget=Budget(metric="val_acc", max_drop=1.0)
    )


@pytest.fixture(scope="module")
def dense(context: Context, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return Train(trainer={"max_epochs": 3}).run({}, tmp_path_factory.mktemp("dense") / "dense", context)


@pytest.fixture
def run(context: Context, dense: Artifact, tmp_path: Path) -> Iterator[Any]:
    def run(stage: Prune, name: str = "pruned", **budget: Any) -> Artifact:
        limits = replace(context.budget, **budget)
        return stage.run(
            {"checkpoint": dense}, tmp_path / name, replace(context, baseline=dense, budget=limits)
        )

    digest = dense.digest
    yield run
    assert open_artifact(dense.path).digest == digest, "the parent is untouched"


@pytest.mark.parametrize("target", [{"params": 0.5}, {"channels": 0.6, "scope": "local"}])
def test_every_target_is_reached_and_what_was_tried_is_told(run: Any, target: dict[str, Any]) -> None:
    pruned = run(Prune(**target, **OPTIONS))
    (tried,) = pruned.facts["tried"]
    assert tried["achieved"] <= tried["value"] == next(iter(target.values()))
    assert tried["holds"] and tried["measured"]["val_acc"] == pruned.numbers()["val_acc"]


def test_criteria_that_look_at_data_find_it(run: Any) -> None:
    pruned = run(Prune(macs=0.5, importance="taylor", **OPTIONS))
    (edit,) = read_recipe(pruned).edits
    assert edit["importance"] == "taylor"


def test_what_breaks_the_budget_is_tried_smaller_and_the_best_is_kept(run: Any, dense: Artifact) -> None:
    # Six batches an epoch do not bring back what so deep a cut takes.
    pruned = run(Prune(macs=0.04, tries=3, distill=True, **OPTIONS), max_drop=0.65)
    tried = pruned.facts["tried"]
    assert not tried[0]["holds"] and any(each["holds"] for each in tried)
    best = min((each for each in tried if each["holds"]), key=lambda each: each["value"])
    assert pruned.numbers()["macs"] == best["measured"]["macs"]
    assert dense.numbers()["val_acc"] - pruned.numbers()["val_acc"] <= 0.65 + 1e-9
    with torch.no_grad():
        assert open_checkpoint(pruned)(torch.zeros(1, 1, 8, 8, dtype=torch.uint8)).shape == (1, 10)


def test_a_budget_that_nothing_holds_is_refused_with_the_table(run: Any, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"the parent stays as it is\n  to 0\.05, reached 0\.0") as caught:
        run(Prune(macs=0.05, tries=2, **{**OPTIONS, "epochs": 1}), max_drop=0.0)
    assert str(caught.value).count("REFUSED  drop of val_acc") == 2
    assert not (tmp_path / "pruned").exists()


def test_steps_prune_one_another_and_the_recipe_holds_them_in_order(run: Any) -> None:
    pruned = run(Prune(macs=0.3, steps=2, sparse_epochs=1, importance="bn_scale", **OPTIONS))
    edits = read_recipe(pruned).edits
    assert len(edits) == 2 and edits[0]["after"] == edits[1]["before"]
    assert edits[1]["after"]["macs"] <= 0.3 * edits[0]["before"]["macs"]


class Killed(Callback):
    at = 0

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: object, batch_idx: int) -> None:
        if trainer.global_step == self.at:
            raise KeyboardInterrupt


@pytest.mark.parametrize("at", [7])
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(
    run: Any, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Prune(macs=0.4, importance="taylor", distill={"temperature": 2, "weight": 0.7}, **OPTIONS)
    whole = run(stage, "whole")
    plain = pl.Trainer.__init__

    def killed(self: Any, *args: Any, callbacks: Any = None, **options: Any) -> None:
        stop = Killed()
        stop.at = at
        plain(self, *args, callbacks=[*(callbacks or []), stop], **options)

    with monkeypatch.context() as patch:
        patch.setattr(pl.Trainer, "__init__", killed)
        with pytest.raises(KeyboardInterrupt):
            run(stage, "parts")
    assert run(stage, "parts").digest == whole.digest


def test_a_metric_that_is_never_logged_is_refused_before_anything_is_pruned(run: Any) -> None:
    with pytest.raises(
        UsageError, match=r"'val_accuracy', which validation_step never logs: did you mean 'val_acc'"
    ):
        run(Prune(macs=0.5, **OPTIONS), metric="val_accuracy")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "expected one target of macs, params, channels, latency_ms; got none"),
        ({"macs": 0.5, "params": 0.5}, "got macs, params"),
        ({"macs": 0.5, "tries": 0}, "tries is 0; expected at least 1"),
        ({"macs": 0.5, "distill": {"temprature": 2}}, r"'distill\.temprature': did you mean 'temperature'"),
        ({"macs": 0.5, "distill": {"weight": 2.0}}, "weight: expected a number from 0 to 1"),
    ],
)
def test_wrong_options_are_refused_before_anything_runs(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Prune(**options)
