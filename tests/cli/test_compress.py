"""``lifecycle prune``, ``sensitivity`` and ``compress --search`` on the digits, in one workspace."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mlflow import MlflowClient

from tests.cli.commands import CommandLine
from tests.projects import Project, copy_digits

QUICK = (
    "model_args.width=4",
    "train.trainer.max_epochs=1",
    "prune.epochs=1",
    "budget.max_drop=0.9",
    "budget.max_macs=null",
)
SHORT = ("prune.trainer.limit_train_batches=2",)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return copy_digits(tmp_path_factory.mktemp("compress") / "digits")


@pytest.fixture
def lifecycle(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> CommandLine:
    monkeypatch.chdir(project.folder)
    return CommandLine(project.folder, capsys)


def asked(lifecycle: CommandLine, *words: str) -> Any:
    ended = lifecycle(*words, "--json")
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


def test_a_search_tells_what_nothing_beats_and_repeats_nothing(
    project: Project, lifecycle: CommandLine
) -> None:
    words = ("compress", "pipeline.yaml", "--search", "--macs", "1,0.5", "--importance", "lamp")
    words = (*words, "--quantize", "none", *QUICK)
    found = asked(lifecycle, *words)
    assert [each["trial"] for each in found] == ["dense", "macs 0.5, lamp"]
    assert found[1]["macs"] <= 0.5 and found[1]["size_bytes"] < found[0]["size_bytes"]
    front = [each for each in found if each["pareto"]]
    assert front and not any(each["refused"] for each in front)
    client = MlflowClient(project.tracking_uri)
    experiment = client.get_experiment_by_name("digits")
    runs = client.search_runs([experiment.experiment_id], "tags.`lifecycle.trial` != ''")
    assert {run.data.tags["lifecycle.trial"] for run in runs} == {each["trial"] for each in found}
    assert {run.info.status for run in runs} == {"FINISHED"}
    plots = list((project.workspace / "search").glob("pareto-*"))
    assert {path.suffix for path in plots} == {".json", ".svg"}
    ended = lifecycle(*words)
    assert ended.code == 0 and "running" not in ended.err and "* " in ended.out
    table = json.loads(next(path for path in plots if path.suffix == ".json").read_text())
    assert table == found, "what the clock said is not asked again"


def test_sensitivity_ranks_layers_and_plots_them(project: Project, lifecycle: CommandLine) -> None:
    found = asked(lifecycle, "sensitivity", "pipeline.yaml", "--plot", "layers.svg", *QUICK)
    drops = [each["drop"] for each in found]
    assert drops == sorted(drops, reverse=True) and "stem.0" in {each["layer"] for each in found}
    assert "stem.0" in (project.folder / "layers.svg").read_text()


def test_prune_stops_after_its_stage_and_refuses_with_code_3(
    project: Project, lifecycle: CommandLine
) -> None:
    found = asked(lifecycle, "prune", "pipeline.yaml", "prune.macs=0.5", "prune.importance=lamp", *QUICK)
    assert [each["stage"] for each in found] == ["train", "prune"]
    limits = ("budget.metric=val_loss", "budget.mode=min", "budget.max_drop=0")
    ended = lifecycle("prune", "pipeline.yaml", *QUICK, "prune.macs=0.1", "prune.tries=1", *limits, *SHORT)
    assert ended.code == 3
    assert "no model within the budget was found; the parent stays as it is" in ended.err
    assert "REFUSED  drop of val_loss" in ended.err


def test_words_that_are_not_there_are_refused_with_the_closest(lifecycle: CommandLine) -> None:
    ended = lifecycle("compress", "pipeline.yaml", "--search", "--importance", "lampp")
    assert ended.code == 2 and "did you mean 'lamp'" in ended.err
    ended = lifecycle("compress", "pipeline.yaml", "--search", "--macs", "half")
    assert ended.code == 2 and "--macs is 'half': expected fractions" in ended.err
