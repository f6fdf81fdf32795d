from __future__ import annotations

from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from lifecycle.core.errors import ArtifactError, UsageError
from lifecycle.registry import CHAMPION, alias_of, fetch, find_version, set_alias
from tests.versions import image, registered, stored_file


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
        ("models:/digit@champion", "no registered model 'digit'; there are: digits"),
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


def test_the_same_content_is_registered_once(client: MlflowClient, tmp_path: Path) -> None:
    first = registered(client, tmp_path / "a")
    assert registered(client, tmp_path / "b").number == first.number
    assert registered(client, tmp_path / "c", gates={"test_acc": {"min": 0.5}}).number == 2
    assert registered(client, tmp_path / "d", label="zero").number == 3


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
    model = mlflow.pyfunc.load_model("models:/digits@champion")
    assert model.predict({"image": image()})["logits"].shape == (1, 10)
    assert model.metadata.signature.outputs.input_names() == ["logits", "probabilities"]
