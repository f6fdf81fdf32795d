"""The example as it ships, run once for all tests of this file: what the project promises of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from mlflow import MlflowClient

from lifecycle.card.outcomes import read_outcomes
from lifecycle.export.operators import runtime_operators
from lifecycle.export.runtime import open_model
from tests.projects import STAGES, Outcome, Project, copy_digits

Run = tuple[Project, dict[str, Outcome]]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    project = copy_digits(tmp_path_factory.mktemp("first") / "digits")
    yield project, project.run()


@pytest.fixture
def evaluation(digits: Run) -> dict[str, object]:
    return digits[1]["evaluate"].artifact.read_json("metrics.json")


def test_every_stage_ran_and_left_a_verified_artifact(digits: Run) -> None:
    assert tuple(digits[1]) == STAGES
    assert not any(outcome.cached for outcome in digits[1].values())
    kinds = [outcome.artifact.kind for outcome in digits[1].values()]
    assert kinds == ["checkpoint", "checkpoint", "checkpoint", "bundle", "evaluation", "version"]


def test_each_artifact_names_its_parent(digits: Run) -> None:
    run = digits[1]
    for child, parent in zip(STAGES[1:4], STAGES[:3], strict=True):
        assert run[child].artifact.parent == run[parent].digest
    assert run["evaluate"].artifact.parent == run["export"].digest


def test_the_served_model_is_accurate(digits: Run) -> None:
    metrics = digits[1]["evaluate"].metrics
    dense = digits[1]["evaluate"].artifact.facts["dense"]
    assert metrics["test_acc"] >= 0.97
    errors, dense_errors = (round(540 * (1 - each["test_acc"])) for each in (metrics, dense))
    assert errors <= dense_errors + 4


def test_the_served_model_is_small(evaluation: dict[str, dict[str, float]]) -> None:
    assert evaluation["metrics"]["macs"] <= 0.25 * evaluation["dense"]["macs"]
    assert evaluation["metrics"]["size_bytes"] <= evaluation["dense"]["size_bytes"] / 8


def test_every_step_is_reported_by_its_own_file(digits: Run) -> None:
    facts = digits[1]["evaluate"].artifact.facts
    dense, pruned, served = facts["steps"]
    assert [dense["step"], pruned["step"], served["step"]] == ["dense", "prune", "compressed"]
    assert dense["macs"] > pruned["macs"] == served["macs"] == digits[1]["prune"].metrics["macs"]
    assert dense["size_bytes"] > pruned["size_bytes"] > served["size_bytes"]
    for step in facts["steps"]:
        assert 0 < step["latency_ms"] <= step["latency_p95_ms"] and step["test_acc"] > 0.95
    forms = {timing["form"] for timing in facts["timings"]}
    assert forms == {
        "dense, PyTorch",
        "dense, ONNX Runtime",
        "prune, ONNX Runtime",
        "compressed, ONNX Runtime",
    }


def test_every_layer_of_the_served_file_holds_int8_weights(
    digits: Run, evaluation: dict[str, dict[str, int]]
) -> None:
    weights = evaluation["weights"]
    assert weights["convolutions"] == weights["quantized_convolutions"] == 6
    assert weights["linears"] == weights["quantized_linears"] == 1
    model = onnx.load(digits[1]["export"].artifact.file("model.onnx"))
    floats = [t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT]
    assert max(int(np.prod(tensor.dims)) for tensor in floats) < 100, "only scales are float"


def test_onnx_runtime_computes_every_layer_in_integers(digits: Run) -> None:
    operators = runtime_operators(digits[1]["export"].artifact.file("model.onnx"))
    assert operators["QLinearConv"] == 6
    assert operators["QLinearAdd"] == 2
    assert operators["Conv"] == operators["Gemm"] == operators["MatMul"] == 0


def test_the_files_are_proven_equal_to_the_module(digits: Run) -> None:
    parity = digits[1]["export"].artifact.read_json("parity.json")
    formats = {comparison["format"] for comparison in parity["comparisons"]}
    assert formats == {"onnx", "torchscript"}
    assert all(comparison["holds"] for comparison in parity["comparisons"])
    sizes = {row["batch"] for comparison in parity["comparisons"] for row in comparison["rows"]}
    assert {1, 32} <= sizes


def test_the_scored_predictions_are_those_of_the_file(digits: Run) -> None:
    project, run = digits
    sys.path.insert(0, str(project.folder))
    try:
        from data import Digits
    finally:
        sys.path.remove(str(project.folder))
        sys.modules.pop("data", None)
    data = Digits()
    data.setup("test")
    images = np.stack([image.numpy() for image, _ in data.test])
    labels = np.array([int(label) for _, label in data.test])
    logits = open_model(run["export"].artifact).run({"image": images})["logits"]
    predicted = logits.argmax(axis=1)
    assert run["evaluate"].artifact.read_json("predictions.json")["compressed"] == predicted.tolist()
    assert run["evaluate"].metrics["test_acc"] == pytest.approx((predicted == labels).mean())


def test_nothing_that_is_loaded_is_a_pickle(digits: Run) -> None:
    files = {path.suffix for path in (digits[0].workspace / "cache").rglob("*") if path.is_file()}
    assert files <= {".json", ".safetensors", ".onnx", ".ts", ".py"}


def test_mlflow_holds_one_finished_run_for_each_stage(digits: Run) -> None:
    project, run = digits
    client = MlflowClient(project.tracking_uri)
    experiment = client.get_experiment_by_name("digits")
    runs = client.search_runs([experiment.experiment_id])
    assert {each.info.status for each in runs} == {"FINISHED"}
    stages = {r.data.tags["lifecycle.stage"]: r for r in runs if "lifecycle.stage" in r.data.tags}
    parents = [r for r in runs if "lifecycle.stage" not in r.data.tags]
    assert set(stages) == set(STAGES)
    assert {each.data.tags["mlflow.parentRunId"] for each in stages.values()} == {parents[0].info.run_id}
    for name, each in stages.items():
        assert each.data.tags["lifecycle.digest"] == run[name].digest
        assert each.data.tags["lifecycle.cached"] == "false"
    assert stages["prune"].data.params["macs"] == "0.25"
    assert stages["train"].data.metrics["val_acc"] == pytest.approx(run["train"].metrics["val_acc"])
    assert len(client.get_metric_history(stages["train"].info.run_id, "val_acc")) >= 15
    files = [f.path for f in client.list_artifacts(stages["export"].info.run_id, "bundle")]
    assert "bundle/model.onnx" in files


def test_the_version_is_an_mlflow_model_with_signature_and_example(
    digits: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    project, run = digits
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, project.tracking_uri)  # MLflow sets them too: now they are put back
    mlflow.set_tracking_uri(project.tracking_uri)
    mlflow.set_registry_uri(project.tracking_uri)
    client = MlflowClient(project.tracking_uri, project.tracking_uri)
    version = client.get_model_version_by_alias("digits", "challenger")
    assert version.tags["lifecycle.digest"] == run["export"].digest
    assert json.loads(version.tags["lifecycle.gates"]) == {"test_acc": {"max_drop": 0.01, "min": 0.97}}
    outcomes = read_outcomes(run["evaluate"].artifact.read_json("predictions.json"), "compressed")
    assert outcomes is not None and outcomes.accuracy == pytest.approx(run["evaluate"].metrics["test_acc"])
    assert version.description.startswith("# digits")
    assert f"{outcomes.right} of 540 samples" in version.description
    card = client.download_artifacts(version.tags["lifecycle.run"], "card.md", str(project.folder))
    assert Path(card).read_text() == version.description
    outcomes = read_outcomes(run["evaluate"].artifact.read_json("predictions.json"), "compressed")
    assert outcomes is not None and outcomes.accuracy == pytest.approx(run["evaluate"].metrics["test_acc"])
    assert version.description.startswith("# digits")
    assert f"{outcomes.right} of 540 samples" in version.description
    card = client.download_artifacts(version.tags["lifecycle.run"], "card.md", str(project.folder))
    assert Path(card).read_text() == version.description
    info = mlflow.models.get_model_info("models:/digits@challenger")
    assert info.signature.inputs.input_names() == ["image"]
    assert info.saved_input_example_info is not None
    loaded = mlflow.onnx.load_model("models:/digits@challenger")
    served = onnx.load(run["export"].artifact.file("model.onnx"))
    assert loaded.graph.SerializeToString() == served.graph.SerializeToString()


def test_the_run_ends_with_a_page_that_is_kept_in_mlflow_too(digits: Run, tmp_path: Path) -> None:
    project, run = digits
    (page,) = (project.workspace / "reports").glob("*/report.html")
    assert project.lifecycle("report").stdout.strip() == str(page)
    text = page.read_text()
    for values in (run["evaluate"].metrics, run["train"].metrics):
        for value in values.values():
            assert f'value="{value}"' in text or f'value="{float(value)}"' in text, value
    assert run["export"].digest in text
    assert text.count("<polyline") >= 2, "curves of training"
    client = MlflowClient(project.tracking_uri)
    experiment = client.get_experiment_by_name("digits")
    parents = [
        r for r in client.search_runs([experiment.experiment_id]) if "lifecycle.stage" not in r.data.tags
    ]
    kept = client.download_artifacts(parents[-1].info.run_id, "report.html", str(tmp_path))
    assert Path(kept).read_text() == text


def test_a_run_in_another_folder_gives_the_same_digests(digits: Run, tmp_path: Path) -> None:
    again = copy_digits(tmp_path / "somewhere else").run()
    assert {name: each.digest for name, each in again.items()} == {
        name: each.digest for name, each in digits[1].items()
    }
