"""Pipelines of plain stages, tracked in a real store."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from lifecycle.core.errors import LifecycleError, UsageError
from lifecycle.core.reference import Reference
from lifecycle.core.stage import Project
from lifecycle.pipeline.spec import Pipeline
from lifecycle.session import run_pipeline
from lifecycle.workspace import Workspace
from tests.pipeline.plain import RAN, Export, Notes, Prune, Train
from tests.test_workspace import held_by_another

DATA = """\
import lifecycle as pl


class Data(pl.DataModule):
    def fingerprint(self):
        return "data-1"


class Other:
    pass
"""


@pytest.fixture
def workspace(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    workspace = Workspace(tmp_path / ".lifecycle")
    workspace.path.mkdir()
    shutil.copy(empty_store, workspace.path / "mlflow.db")
    RAN.clear()
    return workspace


def pipeline(root: Path, *, data: str = "data.py:Data", **stages: Any) -> Pipeline:
    (root / "model.py").write_text("class Net: pass\n")
    (root / "data.py").write_text(DATA)
    project = Project(name="tiny", root=root, model=Reference("model.py:Net"), data=Reference(data))
    return Pipeline(project=project, stages=stages, seed=3)


def runs(workspace: Workspace) -> list[Run]:
    """Every run of the experiment, the oldest first."""
    client = MlflowClient(workspace.default_tracking_uri)
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"]))


def test_a_run_is_a_parent_with_a_child_for_each_stage(workspace: Workspace, tmp_path: Path) -> None:
    stages: Any = {"train": Train(text="trained"), "prune": Prune(text="pruned")}
    outcomes = run_pipeline(pipeline(tmp_path, **stages), workspace, Notes())
    parent, *children = runs(workspace)
    assert [run.info.status for run in (parent, *children)] == ["FINISHED"] * 3
    assert parent.info.run_name == "tiny"
    for run, outcome in zip(children, outcomes, strict=True):
        tags = {name: text for name, text in run.data.tags.items() if not name.startswith("mlflow.")}
        assert tags == {
            "lifecycle.stage": outcome.name,
            "lifecycle.key": outcome.artifact.path.name,
            "lifecycle.digest": outcome.artifact.digest,
            "lifecycle.parent_digest": outcome.artifact.parent or "",
            "lifecycle.cached": "false",
            "lifecycle.data": "data-1",
            "lifecycle.versions": run.data.tags["lifecycle.versions"],
            "lifecycle.workspace": workspace.identity,
            "lifecycle.record": run.data.tags["lifecycle.record"],
        }
        assert run.data.metrics["system/process_memory_usage_megabytes"] > 1
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.params["text"] == outcome.artifact.file("text").read_text().partition(" ")[0]
        assert run.data.metrics["acc"] == 0.5
        client = MlflowClient(workspace.default_tracking_uri)
        files = [file.path for file in client.list_artifacts(run.info.run_id, "checkpoint")]
        assert files == ["checkpoint/facts.json", "checkpoint/manifest.json", "checkpoint/text"]


def test_a_second_run_is_tracked_as_cached(workspace: Workspace, tmp_path: Path) -> None:
    for _ in range(2):
        run_pipeline(pipeline(tmp_path, train=Train(text="trained")), workspace, Notes())
    assert RAN == ["trained"]
    assert [run.data.tags.get("lifecycle.cached") for run in runs(workspace)] == [None, "false", None, "true"]


def test_a_stage_that_fails_fails_the_run_and_none_stays_running(
    workspace: Workspace, tmp_path: Path
) -> None:
    stages: Any = {"train": Train(text="trained"), "prune": Prune(text="fails"), "export": Export()}
    with pytest.raises(RuntimeError, match=r"^the stage failed$"):
        run_pipeline(pipeline(tmp_path, **stages), workspace, Notes())
    statuses = [(run.data.tags.get("lifecycle.stage"), run.info.status) for run in runs(workspace)]
    assert statuses == [(None, "FAILED"), ("train", "FINISHED"), ("prune", "FAILED")]


def test_what_a_killed_run_left_running_is_reaped_at_the_next_start(
    workspace: Workspace, tmp_path: Path
) -> None:
    run_pipeline(pipeline(tmp_path, train=Train()), workspace, Notes())
    client = MlflowClient(workspace.default_tracking_uri)
    for run in runs(workspace):
        client.update_run(run.info.run_id, status="RUNNING")
    notes = Notes()
    run_pipeline(pipeline(tmp_path, train=Train()), workspace, notes)
    assert [run.info.status for run in runs(workspace)] == ["KILLED", "KILLED", "FINISHED", "FINISHED"]
    assert notes.lines[:2] == ["a run that was killed is marked so in MLflow"] * 2


def test_one_run_at_a_time_works_in_a_workspace(workspace: Workspace, tmp_path: Path) -> None:
    with (
        held_by_another(workspace) as holder,
        pytest.raises(LifecycleError, match=f": process {holder.pid}, since"),
    ):
        run_pipeline(pipeline(tmp_path, train=Train()), workspace, Notes())
    assert RAN == []


def test_stages_in_a_wrong_order_are_refused_before_anything_is_touched(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / ".lifecycle")
    with pytest.raises(UsageError, match="stage 'prune' needs a checkpoint"):
        run_pipeline(pipeline(tmp_path, prune=Prune()), workspace, Notes())
    assert not workspace.path.exists()


def test_data_that_is_no_data_module_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError,
        match=r"^data.py:Other is no lifecycle.DataModule: write `class Other\(lifecycle.DataModule\)`$",
    ):
        run_pipeline(pipeline(tmp_path, data="data.py:Other", train=Train()), workspace, Notes())
    assert [run.info.status for run in runs(workspace)] == ["FAILED"]
