"""Champion and candidate on the same test data, now: what is refused, what is called better, and what noise."""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx
import pytest
from google.protobuf.message import DecodeError
from mlflow import MlflowClient

from lifecycle.core.artifact import Artifact, Draft
from lifecycle.core.errors import RefusedError
from lifecycle.promotion import Promotion, promote, propose
from lifecycle.registry import alias_of
from tests.versions import PROVEN, proven_bundle, registered, stored_file

ABSOLUTE = {"test_acc": {"min": 0.5}}


def proposed(client: MlflowClient, tmp_path: Path) -> Promotion:
    return propose(client, "models:/digits@challenger", tmp_path / "served")


def rows(promotion: Promotion) -> dict[str, str]:
    return {row.term: str(row) for row in promotion.rows}


def champion(client: MlflowClient, tmp_path: Path, **options: object) -> None:
    registered(client, tmp_path / "champion", **{"gates": ABSOLUTE, **options})  # type: ignore[arg-type]
    promote(client, proposed(client, tmp_path))


def test_what_counts_is_measured_now_not_what_was_written_down(client: MlflowClient, tmp_path: Path) -> None:
    """The record says 0.99, but of 200 images the file gets 180 right."""

    def worse(folder: Path, checkpoint: Artifact) -> Artifact:
        return proven_bundle(folder, right=180, parent=checkpoint)

    registered(client, tmp_path / "a", test_acc=0.99, made=worse)
    found = rows(proposed(client, tmp_path))
    assert found["test_acc"] == "REFUSED  test_acc: 0.9 (allowed: ≥ 0.95)"


def test_a_less_accurate_challenger_is_refused_and_told_by_how_much(
    client: MlflowClient, tmp_path: Path
) -> None:
    champion(client, tmp_path, test_acc=0.98)
    registered(client, tmp_path / "b", test_acc=0.93, label="zero", gates=ABSOLUTE)
    found = rows(proposed(client, tmp_path))
    text = found["test_acc, beside version 1"]
    assert text.startswith("REFUSED  test_acc, beside version 1: -0.05 [-0.08, -0.02] on 200 samples")
    assert "McNemar p = 0.002: worse (allowed: not surely worse)" in text
    with pytest.raises(RefusedError):
        promote(client, proposed(client, tmp_path))
    version = alias_of(client, "digits", "champion")
    assert version is not None and version.number == 1


def test_a_drop_that_is_allowed_is_allowed(client: MlflowClient, tmp_path: Path) -> None:
    champion(client, tmp_path, test_acc=0.98)
    gates = {"test_acc": {"min": 0.5, "max_drop": 0.06}}
    registered(client, tmp_path / "b", test_acc=0.93, label="zero", gates=gates)
    promotion = proposed(client, tmp_path)
    found = rows(promotion)
    assert promotion.holds and found["test_acc, drop from champion"].startswith("ok")
    assert ": worse (allowed: within max_drop)" in found["test_acc, beside version 1"]


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [(0.9, 0.98, "better"), (0.97, 0.975, "no difference beyond noise"), (0.97, 0.97, "no difference")],
)
def test_only_what_is_sure_is_called_better(
    client: MlflowClient, tmp_path: Path, before: float, after: float, says: str
) -> None:
    champion(client, tmp_path, test_acc=before)
    registered(client, tmp_path / "b", test_acc=after, label="zero", gates=ABSOLUTE)
    promotion = proposed(client, tmp_path)
    assert promotion.holds and says in rows(promotion)["test_acc, beside version 1"]


def test_the_champion_is_scored_on_the_candidates_data(client: MlflowClient, tmp_path: Path) -> None:
    champion(client, tmp_path, test_acc=0.98)
    registered(client, tmp_path / "b", data="digits-2", label="zero", gates=ABSOLUTE)
    promotion = proposed(client, tmp_path)
    assert promotion.holds, [str(row) for row in promotion.rows if not row.holds]
    assert "+0 [+0, +0] on 200 samples" in rows(promotion)["test_acc, beside version 1"]


def test_data_that_changed_since_it_was_evaluated_is_refused(client: MlflowClient, tmp_path: Path) -> None:
    registered(client, tmp_path / "a", data="digits-2", evaluated_on="digits-1")
    text = rows(proposed(client, tmp_path))["test data"]
    assert text.startswith("REFUSED  test data: its data is not what it was: the fingerprint is digits-2")


def test_data_that_is_looked_for_beside_the_code_is_missed_by_name(
    client: MlflowClient, tmp_path: Path
) -> None:
    registered(client, tmp_path / "a", data="lost.csv", evaluated_on="digits-1")
    text = rows(proposed(client, tmp_path))["test data"]
    assert (
        "its data cannot be had: there is no lost.csv beside its code, of which a version has a copy" in text
    )


def test_code_that_was_changed_in_the_registry_is_not_run(client: MlflowClient, tmp_path: Path) -> None:
    version = registered(client, tmp_path / "a")
    file = stored_file(version, client, "checkpoint/code/model.py")
    file.write_text("raise SystemExit('run')\n" + file.read_text())
    text = rows(proposed(client, tmp_path))["test data"]
    assert "REFUSED" in text and "code/model.py differs from its SHA-256" in text


def test_a_version_without_its_checkpoint_is_refused(client: MlflowClient, tmp_path: Path) -> None:
    version = registered(client, tmp_path / "a")
    client.delete_model_version_tag("digits", str(version.number), "lifecycle.checkpoint")
    found = rows(proposed(client, tmp_path))
    assert found["provenance"].endswith("(allowed: registered with its checkpoint)")
    assert "registered without the checkpoint" in found["test data"]


def test_a_file_of_another_checkpoint_is_refused_even_by_force(client: MlflowClient, tmp_path: Path) -> None:
    registered(client, tmp_path / "a", made=lambda folder, _: proven_bundle(folder))
    promotion = proposed(client, tmp_path)
    assert rows(promotion)["provenance"].startswith("REFUSED  provenance: exported from checkpoint (unknown)")
    with pytest.raises(RefusedError, match="provenance"):
        promote(client, promotion, reason="hurry", force=True)


def test_a_file_that_is_no_onnx_is_not_registered(client: MlflowClient, tmp_path: Path) -> None:
    """It was sealed like that: every digest holds."""

    def half(folder: Path, checkpoint: Artifact) -> Artifact:
        whole = proven_bundle(folder / "whole", parent=checkpoint)
        with Draft(folder / "bundle") as draft:
            for name in ("signature.json", "parity.json"):
                shutil.copy(whole.file(name), draft.path / name)
            (draft.path / "model.onnx").write_bytes(whole.file("model.onnx").read_bytes()[:-40])
            return draft.seal("bundle", parent=checkpoint)

    with pytest.raises(DecodeError):
        registered(client, tmp_path / "a", made=half)


def test_a_file_that_needs_more_than_onnx_runtime_is_refused_even_by_force(
    client: MlflowClient, tmp_path: Path
) -> None:
    def foreign(folder: Path, checkpoint: Artifact) -> Artifact:
        plain = proven_bundle(folder / "plain")
        model = onnx.load(str(plain.file("model.onnx")))
        model.opset_import.append(onnx.helper.make_opsetid("com.example", 1))
        with Draft(folder / "bundle") as draft:
            for name in ("signature.json", "parity.json"):
                shutil.copy(plain.file(name), draft.path / name)
            (draft.path / "model.onnx").write_bytes(model.SerializeToString())
            return draft.seal("bundle", parent=checkpoint)

    registered(client, tmp_path / "a", made=foreign)
    promotion = proposed(client, tmp_path)
    assert rows(promotion)["served file"].startswith("REFUSED  served file: ai.onnx 18, com.example 1")
    with pytest.raises(RefusedError, match="served file"):
        promote(client, promotion, reason="hurry", force=True)


def test_limits_that_need_a_champion_do_not_make_the_first(client: MlflowClient, tmp_path: Path) -> None:
    registered(client, tmp_path / "a", gates={"latency_ms": {"max_ratio": 1.5}})
    text = rows(proposed(client, tmp_path))["thresholds"]
    assert "none that is absolute (allowed: at least one min or max: there is no champion" in text


def test_the_proof_is_the_same_for_everyone(client: MlflowClient, tmp_path: Path) -> None:
    registered(client, tmp_path / "a", parity=PROVEN)
    found = rows(proposed(client, tmp_path))
    assert list(found)[:5] == ["digest", "evaluated file", "provenance", "served file", "parity"]
    assert found["served file"].startswith("ok       served file: ai.onnx 18")
