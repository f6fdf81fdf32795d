from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from filelock import FileLock
from mlflow import MlflowClient

from lifecycle.core import plugins
from lifecycle.core.artifact import Draft
from lifecycle.tracking import OWNER, connect
from lifecycle.workspace import Workspace
from tests.cli.commands import CommandLine
from tests.versions import promoted, registered, stored_file

Said = list[tuple[str, str, str]]


def examine(lifecycle: CommandLine, code: int) -> Said:
    """What is not all right: area, sentence, what to do."""
    ended = lifecycle("doctor", "--json")
    assert ended.code == code, ended.out + ended.err
    found = json.loads(ended.out)
    assert any(each["state"] == "broken" for each in found) is (code == 1)
    return [(each["area"], each["what"], each["mend"]) for each in found if each["state"] != "ok"]


@pytest.fixture
def workspace(store: Path) -> Workspace:
    return Workspace(store.parent)


@pytest.fixture
def client(workspace: Workspace) -> MlflowClient:
    return connect(workspace, {})


def test_a_whole_installation_and_workspace_is_told_as_such(
    lifecycle: CommandLine, workspace: Workspace, client: MlflowClient, tmp_path: Path
) -> None:
    promoted(client, registered(client, tmp_path / "made"))
    ended = lifecycle("doctor")
    assert ended.code == 0
    for said in (
        "installation: lifecycle ",
        "devices: torch ",
        "devices: ONNX Runtime ",
        "plug-ins: none is installed",
        "GB are free on its disk",
        "artifacts are whole",
        "answers, its schema is current",
        "1 registered models: aliases follow their ledgers, files are there",
    ):
        assert said in ended.out
    assert "BROKEN" not in ended.out


def test_without_a_workspace_the_installation_is_looked_at(lifecycle: CommandLine) -> None:
    ended = lifecycle("doctor")
    assert ended.code == 0
    assert "workspace: none here: the first run makes one beside its pipeline file" in ended.out
    assert "tracking: no store yet" in ended.out
    assert not (lifecycle.folder / ".lifecycle").exists()


def test_what_is_wrong_with_files_and_runs_is_named(
    lifecycle: CommandLine, workspace: Workspace, client: MlflowClient
) -> None:
    with Draft(workspace.cache / "train" / "ab12") as draft:
        (draft.path / "weights").write_text("content")
        (draft.seal("checkpoint").path / "weights").write_text("altered")
    (workspace.cache / "train" / ".ab13.7.draft").mkdir()
    (workspace.cache / "train" / ".ab13.work").mkdir()
    client.create_run("0", tags={OWNER: workspace.identity})
    (workspace.path / "tracking" / "embedded").mkdir(parents=True)
    (workspace.path / "tracking" / "embedded" / "1.jsonl").write_text("")
    found = examine(lifecycle, code=1)
    assert [(area, what.partition(f"{workspace.path}")[2] or what) for area, what, _ in found] == [
        ("workspace", "what 1 runs recorded waits for an MLflow that was away"),
        ("workspace", "1 drafts of killed runs"),
        ("workspace", "unfinished work of 1 killed stages"),
        ("workspace", "/cache/train/ab12 was altered: weights differs from its SHA-256"),
        ("tracking", "1 MLflow runs of this workspace are marked as running"),
    ]
    assert all(mend for _, _, mend in found)
    assert (workspace.cache / "train" / ".ab13.7.draft").is_dir(), "nothing is changed"


def test_a_run_at_work_is_no_fault(lifecycle: CommandLine, workspace: Workspace) -> None:
    with FileLock(workspace.path / "lock"):
        assert examine(lifecycle, code=0) == [("workspace", "a run works in it", "")]


def test_an_alias_that_was_moved_and_files_that_are_gone_are_named(
    lifecycle: CommandLine, workspace: Workspace, client: MlflowClient, tmp_path: Path
) -> None:
    promoted(client, registered(client, tmp_path / "made"))
    second = registered(client, tmp_path / "second", label="zero")
    client.set_registered_model_alias("digits", "champion", "2")
    client.delete_logged_model(second.source.removeprefix("models:/"))
    said = {what: mend for _, what, mend in examine(lifecycle, code=1)}
    assert said["digits@champion leads to version 2, but version 1 was promoted last"] == (
        "lifecycle history digits --repair"
    )
    marked = next(what for what in said if "which digits version 2 needs, is marked as deleted" in what)
    assert "lifecycle gc --yes restores it" in said[marked]
    file = stored_file(second, client, "bundle")
    for path in sorted(file.parent.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    file.parent.rmdir()
    assert any("the files of digits version 2 are gone" in what for _, what, _ in examine(lifecycle, code=1))
    assert client.get_model_version_by_alias("digits", "champion").version in (2, "2"), "nothing is changed"


def test_a_store_of_an_older_mlflow_is_named_with_the_command_that_mends_it(
    lifecycle: CommandLine, store: Path
) -> None:
    with sqlite3.connect(store) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    connection.close()
    [(area, what, mend)] = examine(lifecycle, code=1)
    assert area == "tracking" and "out-of-date database schema" in what
    assert mend.startswith(f"mlflow db upgrade sqlite:///{store}")


def test_a_server_that_is_away_is_named(lifecycle: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("XDG_CACHE_HOME", str(lifecycle.folder / "cache"))
    [(area, what, _)] = examine(lifecycle, code=1)
    assert area == "tracking" and what.startswith("MLflow at http://127.0.0.1:9 does not answer")


def test_a_plug_in_that_does_not_load_is_named(
    lifecycle: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "site" / "broken-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    points = "[lifecycle.stages]\ngone = no_such_package:Stage\ntrain = no_such_package:Stage\n"
    (info / "entry_points.txt").write_text(points + "[lifecycle.gates]\njudge = json:loads\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    plugins.table.cache_clear()
    try:
        found = examine(lifecycle, code=1)
    finally:
        plugins.table.cache_clear()
    assert [(area, what.partition(" (")[0]) for area, what, _ in found] == [
        ("plug-ins", "stage 'gone'"),
        ("plug-ins", "stage 'train' of broken is not used: what is built in cannot be replaced"),
    ]
