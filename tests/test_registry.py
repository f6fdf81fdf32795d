from __future__ import annotations

import os
import shutil
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from lifecycle.address import process_address
from lifecycle.core.artifact import Draft
from lifecycle.core.canonical import JSON
from lifecycle.core.errors import ArtifactError, LifecycleError, UsageError
from lifecycle.registration import register
from lifecycle.registry import CHAMPION, alias_of, fetch, find_version, set_alias
from lifecycle.tracking import connect
from lifecycle.workspace import Workspace
from tests.versions import checkpoint_of, image, proven_bundle, registered, stored_file


def test_versions_are_found_by_alias_and_by_number(client: MlflowClient, tmp_path: Path) -> None:
    made = registered(client, tmp_path / "a")
    assert (made.name, made.number) == ("digits", 1)
    assert find_version(client, "models:/digits@challenger") == find_version(client, "models:/digits/1")
    assert alias_of(client, "digits", CHAMPION) is None


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("digits", "expected models:/NAME@ALIAS or models:/NAME/NUMBER"),
        ("models:/digits", "expected models:/NAME@ALIAS or models:/NAME/NUMBER"),
        ("models:/digit@champion", "no registered model 'digit': did you mean 'digits'? Allowed: digits"),
        ("models:/digits@champion", "aliases: @challenger → 1; versions: 1"),
        ("models:/digits/7", "aliases: @challenger → 1; versions: 1"),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(
    client: MlflowClient, tmp_path: Path, uri: str, message: str
) -> None:
    registered(client, tmp_path / "a")
    with pytest.raises(UsageError) as error:
        find_version(client, uri)
    assert message in error.value.message
    assert "promote digit`" not in error.value.hint  # a command to copy never repeats the mistake


def test_the_same_content_is_registered_once(client: MlflowClient, tmp_path: Path) -> None:
    first = registered(client, tmp_path / "a")
    assert registered(client, tmp_path / "b").number == first.number
    assert registered(client, tmp_path / "c", gates={"test_acc": {"min": 0.5}}).number == 2
    assert registered(client, tmp_path / "d", label="zero").number == 3


def test_what_the_registry_says_of_a_version_comes_with_it(client: MlflowClient, tmp_path: Path) -> None:
    version = registered(client, tmp_path / "a")
    bundle, _ = fetch(client, version, tmp_path / "served")
    assert (bundle.path.parent / "card.md").read_text() == ""
    client.update_model_version("digits", "1", description="# Digits\n")
    bundle, _ = fetch(client, find_version(client, "models:/digits/1"), tmp_path / "served")
    assert (bundle.path.parent / "card.md").read_text() == "# Digits\n"


def test_the_bundle_comes_back_byte_for_byte(client: MlflowClient, tmp_path: Path) -> None:
    version = registered(client, tmp_path / "a")
    bundle, evaluation = fetch(client, version, tmp_path / "served")
    assert bundle.digest == version.digest
    for name in ("model.onnx", "signature.json", "parity.json", "manifest.json", "facts.json"):
        assert (bundle.path / name).read_bytes() == (tmp_path / "a" / "bundle" / name).read_bytes()
    assert evaluation.facts["metrics"] == {"test_acc": 0.98, "latency_ms": 0.5}
    assert fetch(client, version, tmp_path / "served")[0].path == bundle.path, "fetched once"


def test_a_byte_that_was_changed_in_the_registry_is_found(client: MlflowClient, tmp_path: Path) -> None:
    version = registered(client, tmp_path / "a")
    file = stored_file(version, client, "bundle/model.onnx")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"model\.onnx differs from its SHA-256"):
        fetch(client, version, tmp_path / "served")


def test_a_whole_other_bundle_in_its_place_is_found(client: MlflowClient, tmp_path: Path) -> None:
    """Manifest and files agree with each other, but not with what was registered."""
    version = registered(client, tmp_path / "a")
    other = registered(client, tmp_path / "b", label="zero")
    for name in ("signature.json", "manifest.json"):
        stored = stored_file(version, client, f"bundle/{name}")
        stored.write_bytes(stored_file(other, client, f"bundle/{name}").read_bytes())
    with pytest.raises(ArtifactError, match=f"registered was {version.digest[:12]}"):
        fetch(client, version, tmp_path / "served")


def test_an_mlflow_user_can_load_and_run_it(client: MlflowClient, tmp_path: Path) -> None:
    set_alias(client, registered(client, tmp_path / "a"), "champion")
    with process_address(client):  # what MLFLOW_TRACKING_URI is for them
        model = mlflow.pyfunc.load_model("models:/digits@champion")
    assert model.predict({"image": image()})["logits"].shape == (1, 10)
    assert model.metadata.signature.outputs.input_names() == ["logits", "probabilities"]


def test_a_registry_that_is_away_is_not_taken_for_an_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    away = MlflowClient("http://127.0.0.1:9", "http://127.0.0.1:9")
    with pytest.raises(
        LifecycleError, match=r"^the registry does not answer for 'models:/digits@champion': "
    ):
        alias_of(away, "digits", CHAMPION)


def test_a_fetched_copy_that_was_damaged_is_fetched_again(client: MlflowClient, tmp_path: Path) -> None:
    version = registered(client, tmp_path / "a")
    bundle, _ = fetch(client, version, tmp_path / "served")
    (bundle.path / "model.onnx").write_bytes(b"")
    assert fetch(client, version, tmp_path / "served")[0].digest == version.digest
    assert not list((tmp_path / "served").glob(".fetched-*"))


def test_metrics_do_not_stand_in_for_digests(client: MlflowClient, tmp_path: Path) -> None:
    bundle = proven_bundle(tmp_path / "a")
    with Draft(tmp_path / "a" / "evaluation") as draft:
        (draft.path / "metrics.json").write_text("{}")
        odd: dict[str, JSON] = {"digest": 1.0, "gates": 2.0, "loss": float("nan")}
        evaluation = draft.seal("evaluation", facts={"metrics": odd})
    run = client.create_run(client.create_experiment("digits"))
    version = register(
        client,
        "digits",
        bundle=bundle,
        evaluation=evaluation,
        checkpoint=checkpoint_of(tmp_path / "a"),
        gates={},
        run_id=run.info.run_id,
    )
    assert version.digest == bundle.digest
    assert version.tags["lifecycle.gates"] == "{}"


def test_two_projects_in_one_process_keep_to_their_stores(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    clients = []
    for name in ("one", "two"):
        workspace = Workspace(tmp_path / name)
        workspace.path.mkdir()
        shutil.copy(empty_store, workspace.path / "mlflow.db")
        clients.append(connect(workspace))
        registered(clients[-1], tmp_path / f"{name}-made", label=name)
    for client, label in zip(clients, ("one", "two"), strict=True):
        bundle, _ = fetch(client, find_version(client, "models:/digits@challenger"), tmp_path / "served")
        assert bundle.read_json("signature.json")["labels"][0] == label  # type: ignore[index]
    assert "MLFLOW_TRACKING_URI" not in os.environ


def test_what_a_program_told_mlflow_stays(client: MlflowClient, tmp_path: Path) -> None:
    """A notebook may use MLflow for something else beside this."""
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    version = registered(client, tmp_path / "a")
    fetch(client, version, tmp_path / "served")
    assert (mlflow.get_tracking_uri(), mlflow.get_registry_uri()) == before
