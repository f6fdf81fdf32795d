from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from lifecycle.core.errors import RefusedError
from lifecycle.promotion import promote as move
from lifecycle.promotion import propose
from lifecycle.registry import alias_of
from tests.versions import registered, stored_file


def promote(client: MlflowClient, tmp_path: Path) -> None:
    move(client, propose(client, "models:/digits@challenger", tmp_path / "served"))


def champion(client: MlflowClient) -> int | None:
    version = alias_of(client, "digits", "champion")
    return version.number if version else None


def refusal(client: MlflowClient, tmp_path: Path) -> str:
    with pytest.raises(RefusedError) as error:
        promote(client, tmp_path)
    return str(error.value)


def test_the_champion_moves_and_the_one_before_is_remembered(client: MlflowClient, tmp_path: Path) -> None:
    registered(client, tmp_path / "a")
    promote(client, tmp_path)
    assert champion(client) == 1
    registered(client, tmp_path / "b", test_acc=0.975, label="zero")
    promote(client, tmp_path)
    assert champion(client) == 2
    previous = alias_of(client, "digits", "previous")
    assert previous is not None and previous.number == 1


def test_promoting_the_champion_again_changes_nothing(client: MlflowClient, tmp_path: Path) -> None:
    registered(client, tmp_path / "a")
    promote(client, tmp_path)
    promote(client, tmp_path)
    assert champion(client) == 1
    assert alias_of(client, "digits", "previous") is None


def test_a_metric_below_its_threshold_is_refused(client: MlflowClient, tmp_path: Path) -> None:
    registered(client, tmp_path / "a", test_acc=0.94)
    text = refusal(client, tmp_path)
    assert "REFUSED  test_acc: 0.94 (allowed: ≥ 0.95)" in text
    assert "digits@champion is not set, as before." in text
    assert champion(client) is None


def test_a_drop_from_the_champion_is_refused(client: MlflowClient, tmp_path: Path) -> None:
    registered(client, tmp_path / "a", test_acc=0.99)
    promote(client, tmp_path)
    registered(client, tmp_path / "b", test_acc=0.96, label="zero")
    text = refusal(client, tmp_path)
    assert "REFUSED  test_acc, drop from champion: 0.03 (allowed: ≤ 0.01)" in text
    assert "digits@champion is version 1, as before." in text
    assert champion(client) == 1


def test_without_thresholds_nothing_is_promoted(client: MlflowClient, tmp_path: Path) -> None:
    registered(client, tmp_path / "a", gates={})
    assert "REFUSED  thresholds: none (allowed: at least one, from `gates:`)" in refusal(client, tmp_path)


def test_a_metric_that_was_not_measured_is_refused(client: MlflowClient, tmp_path: Path) -> None:
    registered(client, tmp_path / "a", gates={"test_f1": {"min": 0.5}})
    text = refusal(client, tmp_path)
    assert "REFUSED  test_f1: not measured: test_step logs test_acc" in text and "(allowed: min 0.5)" in text


@pytest.mark.parametrize(
    "parity",
    [
        {},
        {"comparisons": []},
        {"comparisons": [{"format": "onnx", "holds": True}, {"format": "torchscript", "holds": False}]},
    ],
)
def test_a_file_that_was_not_proven_is_refused(
    client: MlflowClient, tmp_path: Path, parity: dict[str, list[object]]
) -> None:
    registered(client, tmp_path / "a", parity=parity)  # type: ignore[arg-type]
    assert "REFUSED  parity: " in refusal(client, tmp_path)


def test_an_evaluation_of_another_file_is_refused(client: MlflowClient, tmp_path: Path) -> None:
    registered(client, tmp_path / "a", scored="f" * 64)
    assert "REFUSED  evaluated file: ffffffffffff" in refusal(client, tmp_path)


def test_an_edited_artifact_is_refused(client: MlflowClient, tmp_path: Path) -> None:
    version = registered(client, tmp_path / "a")
    file = stored_file(version, client, "evaluation/metrics.json")
    file.write_text(file.read_text().replace("0.98", "0.99"))
    text = refusal(client, tmp_path)
    assert "REFUSED  digest: " in text and "metrics.json differs from its SHA-256" in text


def test_a_champion_that_cannot_be_had_is_no_champion_to_be_better_than(
    client: MlflowClient, tmp_path: Path
) -> None:
    first = registered(client, tmp_path / "a")
    promote(client, tmp_path)
    registered(client, tmp_path / "b", label="zero")
    stored_file(first, client, "evaluation/metrics.json").unlink()
    shutil.rmtree(tmp_path / "served")
    text = refusal(client, tmp_path)
    assert "REFUSED  champion: " in text and champion(client) == 1
