"""What a process records: in a real store, while it is there and while it is not."""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from lifecycle.core.errors import LifecycleError
from lifecycle.tracking import PipelineRun, connect, find_registry, recording, stage_options
from lifecycle.tracking.delivery import waiting_folder
from lifecycle.train.loggers.record import Record
from lifecycle.workspace import Workspace
from tests.postgres import free_port, mlflow_server

ROOT = Path(__file__).parents[2]
AWAY = "the run goes on, and what it records is kept until it can be delivered"


@pytest.fixture
def workspace(tmp_path: Path, empty_store: Path) -> Workspace:
    workspace = Workspace(tmp_path / ".lifecycle")
    workspace.path.mkdir()
    shutil.copy(empty_store, workspace.path / "mlflow.db")
    return workspace


def found(client: MlflowClient, name: str = "digits") -> dict[str, Run]:
    """Runs of an experiment by their names."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return {}
    return {str(run.info.run_name): run for run in client.search_runs([experiment.experiment_id])}


def record_one(workspace: Workspace, told: list[str]) -> None:
    """A pipeline of one stage, with everything that is recorded of one."""
    files = workspace.path.parent / "made"
    files.mkdir(parents=True, exist_ok=True)
    (files / "model.txt").write_text("weights")
    with (
        recording(workspace, "digits", told.append) as recorder,
        recorder.run("digits", {"note": "x"}) as parent,
        PipelineRun(recorder, parent, {"git": "abc"}).stage("train") as stage,
    ):
        stage.log_params({"trainer.max_epochs": 3, "text": "x"})
        stage.log_metrics({"loss": 0.5}, step=0)
        stage.log_metrics({"loss": 0.25}, step=1)
        stage.log_metrics({"odd": math.inf, "nan": math.nan})
        stage.set_tags({"lifecycle.digest": "123"})
        stage.log_artifacts(files, "checkpoint")
        parent.log_json("environment.json", {"python": "3"})
    shutil.rmtree(files)


def check_one(client: MlflowClient) -> None:
    """That is in the store, and once."""
    runs = found(client)
    assert sorted(runs) == ["digits", "train"]
    parent, stage = runs["digits"], runs["train"]
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert parent.data.tags["note"] == "x"
    assert stage.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert (stage.data.tags["lifecycle.digest"], stage.data.tags["git"]) == ("123", "abc")
    assert stage.data.params == {"trainer.max_epochs": "3", "text": "x"}
    history = client.get_metric_history(stage.info.run_id, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(0, 0.5), (1, 0.25)]
    assert stage.data.metrics["odd"] > 1e300 and math.isnan(stage.data.metrics["nan"])
    assert stage.data.metrics["system/system_memory_usage_megabytes"] > 1
    assert [file.path for file in client.list_artifacts(stage.info.run_id, "checkpoint")] == [
        "checkpoint/model.txt"
    ]
    assert [file.path for file in client.list_artifacts(parent.info.run_id)] == ["environment.json"]


def test_everything_that_is_recorded_is_in_the_store_when_it_ends(workspace: Workspace) -> None:
    told: list[str] = []
    record_one(workspace, told)
    check_one(connect(workspace, {}))
    assert told == []
    assert not list(waiting_folder(workspace).iterdir()), "what was delivered is not kept"


def test_a_stage_is_a_child_whose_failure_fails_its_parent(workspace: Workspace) -> None:
    with (
        pytest.raises(RuntimeError),
        recording(workspace, "digits", print) as recorder,
        recorder.run("digits", {}) as parent,
    ):
        run = PipelineRun(recorder, parent)
        for name in ("train", "prune"):
            with run.stage(name):
                if name == "prune":
                    raise RuntimeError
    statuses = {name: run.info.status for name, run in found(connect(workspace, {})).items()}
    assert statuses == {"digits": "FAILED", "train": "FINISHED", "prune": "FAILED"}


def test_a_run_that_is_interrupted_is_killed(workspace: Workspace) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        recording(workspace, "digits", print) as recorder,
        recorder.run("digits", {}),
    ):
        raise KeyboardInterrupt
    assert found(connect(workspace, {}))["digits"].info.status == "KILLED"


def test_the_options_of_every_stage_of_a_run_are_found_from_one_of_them(workspace: Workspace) -> None:
    with recording(workspace, "digits", print) as recorder, recorder.run("digits", {}) as parent:
        pipeline = PipelineRun(recorder, parent)
        for name, options in (("train", {"trainer.max_epochs": 3}), ("prune", {"macs": 0.25})):
            with pipeline.stage(name) as tracker:
                tracker.log_params(options)
    client = connect(workspace, {})
    runs = found(client)
    assert stage_options(client, runs["prune"].info.run_id) == {
        "train": {"trainer.max_epochs": "3"},
        "prune": {"macs": "0.25"},
    }
    assert stage_options(client, runs["digits"].info.run_id) == {}
    assert stage_options(client, "0" * 32) == {}


def test_a_run_goes_on_while_the_server_is_away_and_is_caught_up_with(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, store = free_port(), f"sqlite:///{workspace.path}/mlflow.db"
    address = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    told: list[str] = []
    record_one(workspace, told)
    assert told[0] == f"MLflow at {address} does not answer: [Errno 111] Connection refused; {AWAY}"
    assert "records of this run: they wait in" in told[1] and len(told) == 2
    with mlflow_server(store, tmp_path, port=port):
        client, _ = find_registry(workspace.path)  # the next command, whichever it is
        check_one(client)
        assert not list(waiting_folder(workspace).iterdir())
        with recording(workspace, "back", told.append) as recorder:
            work = recorder.run("back", {})
            run = work.__enter__()
            assert recorder.courier.flush(60)
    # It is gone in the middle of a run.
    with recorder.run("away", {}, run) as child:
        child.log_metrics({"loss": 2.0}, step=1)
        assert not recorder.courier.flush(0)
    with pytest.raises(LifecycleError, match=r"^this needs MLflow, and MLflow cannot be used: ") as caught:
        run.live(0)
    assert caught.value.hint.startswith("What was made is kept: the same command goes on from here")
    with mlflow_server(store, tmp_path, port=port):
        assert recorder.courier.flush(60)
        work.__exit__(None, None, None)
        assert recorder.courier.flush(60)
        runs = found(run.live().client, "back")
    assert {name: each.info.status for name, each in runs.items()} == {"back": "FINISHED", "away": "FINISHED"}
    assert runs["away"].data.metrics["loss"] == 2.0
    assert [line for line in told[2:] if AWAY in line] and "answers again" in told[-1]


KILLED = """\
import os, signal, sys; from pathlib import Path
from lifecycle.tracking import recording
from lifecycle.tracking import delivery
from lifecycle.workspace import Workspace
where = sys.argv[2]
workspace = Workspace(Path(sys.argv[1]))
def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
with workspace.locked(), recording(workspace, "digits", print) as recorder:
    if where == "made":  # in the store, and not marked as such
        delivery.Spool.delivered = die
    with recorder.run("digits", {}) as run:
        run.log_metrics({"loss": 1.0}, step=0)
        if where == "running":
            recorder.courier.flush(60)
            run.log_metrics({"loss": 2.0}, step=1)
            die()
"""


@pytest.mark.parametrize("where", ["made", "running"])
def test_what_a_killed_process_recorded_is_delivered_once_and_its_run_is_killed(
    workspace: Workspace, where: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(workspace.path), where], cwd=ROOT, env=os.environ, timeout=120
    )
    assert done.returncode == -signal.SIGKILL
    told: list[str] = []
    with recording(workspace, "digits", told.append) as recorder, recorder.run("next", {}):
        pass
    client = connect(workspace, {})
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"])
    assert [(run.info.run_name, run.info.status) for run in runs] == [
        ("digits", "KILLED"),
        ("next", "FINISHED"),
    ]
    assert told == ["a run that was killed is marked so in MLflow"]
    if where == "running":
        values = [metric.value for metric in client.get_metric_history(runs[0].info.run_id, "loss")]
        assert values == [1.0, 2.0]
    assert not list(waiting_folder(workspace).iterdir())


def test_what_the_store_refuses_for_good_holds_nothing_up(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    with recording(workspace, "digits", print) as recorder, recorder.run("digits", {}) as run:
        run.log_params({"a": 1})
        run.log_params({"b": 1})
        run.log_metrics({"acc": 1.0})
        assert recorder.courier.flush(60)
        run.log_params({"a": 2})  # MLflow lets no parameter be changed
        run.set_tags({"after": "it"})
    run_ = found(connect(workspace, {}))["digits"]
    assert (run_.data.params["a"], run_.data.tags["after"], run_.info.status) == ("1", "it", "FINISHED")
    assert "MLflow does not take params of a run: " in caplog.text


def test_records_for_one_store_are_not_given_to_another(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    record_one(workspace, [])
    waiting = waiting_folder(workspace)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with recording(workspace, "digits", print):
        pass
    assert found(connect(workspace, {})) == {}
    assert list(waiting.glob("*.jsonl"))


def test_many_records_are_one_line(workspace: Workspace) -> None:
    with recording(workspace, "digits", print) as recorder, recorder.run("digits", {}) as run:
        run.log_records([Record({"loss": float(step)}, step, time.time()) for step in range(1500)])
        last = recorder.spool.waiting(10)
        assert not last or len(last) <= 2
    client = connect(workspace, {})
    history = client.get_metric_history(found(client)["digits"].info.run_id, "loss")
    assert [metric.value for metric in history] == [float(step) for step in range(1500)]
