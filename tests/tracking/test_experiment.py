"""Against real SQLite stores."""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from mlflow import MlflowClient

from lifecycle.core.errors import LifecycleError, UsageError
from lifecycle.tracking import (
    Experiment,
    connect,
    find_registry,
    open_experiment,
)
from lifecycle.workspace import Workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("project") / ".lifecycle")
    workspace.path.mkdir()
    shutil.copy(empty_store, workspace.path / "mlflow.db")
    return workspace


@pytest.fixture(scope="module")
def client(workspace: Workspace) -> MlflowClient:
    return connect(workspace, {})


@pytest.fixture
def experiment(client: MlflowClient, workspace: Workspace, request: pytest.FixtureRequest) -> Experiment:
    """One of its own for each test."""
    return open_experiment(client, request.node.name.replace("[", "-").rstrip("]"), workspace)


def status(experiment: Experiment, run_id: str) -> str:
    return str(experiment.client.get_run(run_id).info.status)


def test_the_default_store_lies_in_the_workspace(client: MlflowClient, workspace: Workspace) -> None:
    assert client.tracking_uri == f"sqlite:///{workspace.path}/mlflow.db"
    assert (workspace.path / "mlflow.db").is_file()


def test_the_files_of_an_experiment_lie_beside_it(
    experiment: Experiment, workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "model.onnx").write_text("x")
    with experiment.run("export", {}) as log:
        log.log_artifacts(tmp_path, "bundle")
    run = experiment.client.get_run(log.run_id)
    name = experiment.client.get_experiment(experiment.id).name
    assert run.info.artifact_uri.startswith((workspace.path / "mlartifacts" / name).as_uri())
    assert [file.path for file in experiment.client.list_artifacts(log.run_id, "bundle")] == [
        "bundle/model.onnx"
    ]


def test_an_experiment_is_opened_again_by_its_name(experiment: Experiment, workspace: Workspace) -> None:
    name = experiment.client.get_experiment(experiment.id).name
    assert open_experiment(experiment.client, name, workspace) == experiment


def test_a_run_that_ends_is_finished(experiment: Experiment) -> None:
    with experiment.run("pipeline", {"note": "x"}) as log:
        assert status(experiment, log.run_id) == "RUNNING"
    run = experiment.client.get_run(log.run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "pipeline"
    assert run.data.tags["note"] == "x"


class Terminated(BaseException):
    """As the command line raises on SIGTERM."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("x"), "FAILED"),
        (UsageError("x"), "FAILED"),
        (KeyboardInterrupt(), "KILLED"),
        (Terminated(), "KILLED"),
        (SystemExit(3), "KILLED"),
    ],
)
def test_a_run_that_is_broken_off_says_so(
    experiment: Experiment, error: BaseException, expected: str
) -> None:
    with pytest.raises(type(error)), experiment.run("stage", {}) as log:
        raise error
    assert status(experiment, log.run_id) == expected


def test_a_killed_run_is_reaped_and_no_other(experiment: Experiment, tmp_path: Path) -> None:
    def left_running(owner: str) -> str:
        tags = {"lifecycle.workspace": owner}
        return str(experiment.client.create_run(experiment.id, tags=tags).info.run_id)

    mine, others = left_running(experiment.owner), left_running("another workspace")
    with experiment.run("done", {}) as done:
        pass
    assert experiment.reap() == 1
    assert [status(experiment, run_id) for run_id in (mine, others, done.run_id)] == [
        "KILLED",
        "RUNNING",
        "FINISHED",
    ]
    assert experiment.reap() == 0


def run_once(together: Barrier, folder: str, name: str) -> None:
    """Track a run in a store that others touch first at the same time."""
    workspace = Workspace(Path(folder))
    together.wait(timeout=60)
    with open_experiment(connect(workspace, {}), "digits", workspace).run(name, {}):
        pass


def test_four_processes_may_touch_an_empty_store_at_once(tmp_path: Path) -> None:
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__])  # MLflow is imported once for all four
    together = processes.Barrier(4)
    workspace = Workspace(tmp_path / ".lifecycle")
    running = [
        processes.Process(target=run_once, args=(together, str(workspace.path), str(number)))
        for number in range(4)
    ]
    for process in running:
        process.start()
    for process in running:
        process.join()
    assert [process.exitcode for process in running] == [0, 0, 0, 0]
    client = connect(workspace, {})
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(run.info.run_name for run in runs) == ["0", "1", "2", "3"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len({run.data.tags["lifecycle.workspace"] for run in runs}) == 1


def test_a_store_that_cannot_be_reached_says_what_to_check(workspace: Workspace) -> None:
    (workspace.path / "other.db").write_text("no database")
    environment = {"MLFLOW_TRACKING_URI": f"sqlite:///{workspace.path}/other.db"}
    with pytest.raises(LifecycleError, match=r"^MLflow at sqlite:///.* cannot be used: ") as caught:
        connect(workspace, environment)
    assert "Check MLFLOW_TRACKING_URI" in caught.value.hint


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        (
            "htp://me:secret@127.0.0.1:5000",
            "MLFLOW_TRACKING_URI is 'htp://127.0.0.1:5000', and MLflow has no store 'htp:': did you mean 'http'?",
        ),
        (
            "./mlruns",
            "MLFLOW_TRACKING_URI is './mlruns', a folder: MLflow records in databases and servers only",
        ),
        ("file:///x", "MLFLOW_TRACKING_URI is 'file:///x', a folder: "),
    ],
)
def test_an_address_that_no_store_has_is_wrong_usage(workspace: Workspace, uri: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(message)}") as caught:
        connect(workspace, {"MLFLOW_TRACKING_URI": uri})
    assert "or unset it to record in the workspace" in caught.value.hint
    assert "secret" not in str(caught.value)


def test_a_tracking_server_serves_without_a_workspace(
    client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {"MLFLOW_TRACKING_URI": client.tracking_uri, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    found, served = find_registry(None, environment)
    assert found.tracking_uri == client.tracking_uri
    assert served == tmp_path / "cache" / "lifecycle" / "served"


def test_without_server_and_workspace_there_is_no_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"^no workspace: "):
        find_registry(None, {})


def test_a_workspace_that_is_named_has_its_registry(client: MlflowClient, workspace: Workspace) -> None:
    found, served = find_registry(workspace.path, {})
    assert found.tracking_uri == client.tracking_uri
    assert served == workspace.path / "served"


def test_pickles_are_not_loaded_once_connected(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION")
    connect(workspace, {})
    assert os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
