"""The same against MLflow's server with PostgreSQL and basic auth, and processes that start at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lifecycle.core.errors import LifecycleError
from lifecycle.tracking import connect
from lifecycle.workspace import Workspace
from tests.postgres import mlflow_server, postgres
from tests.tracking.test_recorder import check_one, record_one

ROOT = Path(__file__).parents[2]
PASSWORD = "a-long-password"
AUTH = {
    "MLFLOW_AUTH_ADMIN_USERNAME": "admin",
    "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "secret",
}
# Each runs a pipeline of plain stages, and says what became of it.
RUN = """\
import json, sys; from pathlib import Path
from lifecycle.core.errors import LifecycleError
from lifecycle.pipeline.spec import Pipeline
from lifecycle.core.reference import Reference
from lifecycle.core.stage import Project
from lifecycle.session import run_pipeline
from lifecycle.workspace import Workspace
from tests.pipeline.plain import Notes, Train, Prune
root, workspace, name, wait_s = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], float(sys.argv[4])
project = Project(name=name, root=root, model=Reference("model.py:Net"), data=Reference("data.py:Data"))
pipeline = Pipeline(project=project, stages={"train": Train(text="t"), "prune": Prune(text="p")})
try:
    found = run_pipeline(pipeline, Workspace(workspace), Notes(), wait_s=wait_s)
    print(json.dumps([outcome.artifact.digest for outcome in found]))
except LifecycleError as error:
    print(json.dumps(str(error)))
"""
DATA = "import lifecycle as pl\nclass Data(pl.DataModule):\n    def fingerprint(self): return 'data-1'\n"


def start(folder: Path, workspace: Path, name: str, wait_s: float) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    (folder / "model.py").write_text("class Net: pass\n")
    (folder / "data.py").write_text(DATA)
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(folder), str(workspace), name, str(wait_s)],
        cwd=ROOT,
        env=os.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> object:
    out, err = process.communicate(timeout=250)
    assert process.returncode == 0, err
    return json.loads(out)


@pytest.mark.timeout(280)
def test_four_that_start_at_once_on_an_empty_workspace_all_succeed(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    running = [start(folder, folder / ".lifecycle", "digits", 240) for _ in range(4)]
    digests = [ended(process) for process in running]
    assert digests[0] and all(each == digests[0] for each in digests)
    client = connect(Workspace(folder / ".lifecycle"), {})
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    cached = sorted(run.data.tags["lifecycle.cached"] for run in runs if "lifecycle.stage" in run.data.tags)
    assert cached == ["false"] * 2 + ["true"] * 6, "the work is done once"


@pytest.mark.needs("postgresql", "pg_ctlcluster")
@pytest.mark.timeout(280)
def test_a_server_with_a_database_that_asks_who_you_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "server").mkdir()
    auth = {**AUTH, "MLFLOW_AUTH_CONFIG_PATH": str(auth_config(tmp_path / "server"))}
    with postgres() as store, mlflow_server(store, tmp_path / "server", auth=auth) as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        workspace = Workspace(tmp_path / "one" / ".lifecycle")
        with pytest.raises(LifecycleError) as caught:
            record_one(workspace, [])
        assert (
            "cannot be used" in caught.value.message and "You are not authenticated" in caught.value.message
        )
        assert "MLFLOW_TRACKING_USERNAME" in caught.value.hint
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
        told: list[str] = []
        record_one(workspace, told)
        client = connect(workspace)
        check_one(client)
        assert told == []
        # Several pipelines, each with a workspace of its own, begin in one experiment at the same moment.
        folders = [tmp_path / f"project-{index}" for index in range(2)]
        running = [start(folder, folder / ".lifecycle", "shared", 0) for folder in folders]
        digests = [ended(process) for process in running]
        assert all(isinstance(each, list) and each == digests[0] for each in digests)
        experiment = client.get_experiment_by_name("shared")
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id])
        assert [run.info.status for run in runs] == ["FINISHED"] * 6
        texts = [path.read_text() for folder in folders for path in folder.rglob("*.json*") if path.is_file()]
        assert texts and not any(PASSWORD in text for text in texts), "no secret is written anywhere"


def auth_config(folder: Path) -> Path:
    """Where the server keeps its users."""
    path = folder / "auth.ini"
    path.write_text(
        "[mlflow]\ndefault_permission = READ\n"
        f"database_uri = sqlite:///{folder}/users.db\n"
        f"admin_username = admin\nadmin_password = {PASSWORD}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    return path
