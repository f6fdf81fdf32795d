"""A version that is copied to another model or registry lives there without the first."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from lifecycle.core.errors import ArtifactError, UsageError
from lifecycle.registry import fetch, find_version
from lifecycle.transfer import ORIGIN, registry_at, transfer
from lifecycle.workspace import Workspace
from tests.cli.commands import CommandLine
from tests.versions import registered, stored_file


def test_a_copy_outlives_what_it_was_copied_from(client: MlflowClient, tmp_path: Path) -> None:
    version = registered(client, tmp_path / "a")
    workspace = Workspace(tmp_path / ".lifecycle")

    def copy() -> int:
        folder = tmp_path / "served"
        return transfer(version, client, client, "digits-prod", folder=folder, workspace=workspace).number

    assert copy() == copy() == 1
    shutil.rmtree(stored_file(version, client, "bundle").parent)
    made = find_version(client, "models:/digits-prod/1")
    bundle, _ = fetch(client, made, tmp_path / "other")
    assert bundle.digest == version.digest == made.digest
    assert made.tags[ORIGIN] == "models:/digits/1"


def test_a_byte_that_changed_is_not_copied(client: MlflowClient, tmp_path: Path) -> None:
    version = registered(client, tmp_path / "a")
    file = stored_file(version, client, "bundle/model.onnx")
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactError, match=r"model\.onnx"):
        transfer(
            version,
            client,
            client,
            "digits-prod",
            folder=tmp_path / "served",
            workspace=Workspace(tmp_path / ".lifecycle"),
        )
    with pytest.raises(UsageError):
        find_version(client, "models:/digits-prod/1")


def test_promotion_to_another_registry(
    client: MlflowClient, tmp_path: Path, lifecycle: CommandLine, empty_store: Path
) -> None:
    registered(client, tmp_path / "a")
    (tmp_path / "production").mkdir()
    shutil.copy(empty_store, tmp_path / "production" / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/production/mlflow.db"
    for _ in range(2):
        done = lifecycle("promote", "digits", "--to-registry", uri, "--to-model", "digits-prod")
        assert done.code == 0, done.err
        assert "digits version 1 is digits-prod version 1 there" in done.err
    target, _ = registry_at(uri)
    assert find_version(target, "models:/digits-prod@champion").number == 1
    assert set(client.get_registered_model("digits").aliases) == {"challenger"}
    assert (tmp_path / "production" / "mlartifacts").is_dir()


def test_what_does_not_hold_is_not_copied(
    client: MlflowClient, tmp_path: Path, lifecycle: CommandLine
) -> None:
    registered(client, tmp_path / "a", test_acc=0.5)
    done = lifecycle("promote", "digits", "--to-model", "digits-prod")
    assert done.code == 3 and "digits version 1 is not copied to digits-prod" in done.err
    for words, message in (
        (("--to-model", "digits"), "the version is there already"),
        (("--to-registry", "file:///x"), "expected the address of an MLflow server"),
        (("--to-model", "x", "--dry-run"), "--dry-run copies nothing"),
    ):
        done = lifecycle(
            "promote", "digits", *words, *(() if "--dry-run" in words else ("--force", "--reason", "x"))
        )
        assert (done.code, message in done.err) == (2, True), done.err
    with pytest.raises(UsageError):
        find_version(client, "models:/digits-prod/1")


def test_nothing_is_copied_where_force_has_no_reason(
    client: MlflowClient, tmp_path: Path, lifecycle: CommandLine
) -> None:
    registered(client, tmp_path / "a", test_acc=0.5)
    done = lifecycle("promote", "digits", "--to-model", "digits-prod", "--force")
    assert done.code == 2 and "add --reason TEXT" in done.err
    with pytest.raises(UsageError, match="no registered model 'digits-prod'"):
        find_version(client, "models:/digits-prod/1")
