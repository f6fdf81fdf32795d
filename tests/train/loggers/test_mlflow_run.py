from __future__ import annotations

import math
import shutil
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from lifecycle.core.secrets import resolve
from lifecycle.train.loggers import MLFlowRun
from lifecycle.train.loggers.record import Record
from tests.train.small import Plain, loader, quiet


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> MlflowClient:
    folder = tmp_path_factory.mktemp("store")
    shutil.copy(empty_store, folder / "mlflow.db")
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    client.create_experiment("tests", artifact_location=(folder / "files").as_uri())
    return client


@pytest.fixture
def run(client: MlflowClient) -> MLFlowRun:
    experiment = client.get_experiment_by_name("tests")
    assert experiment is not None
    return MLFlowRun(client, client.create_run(experiment.experiment_id).info.run_id)


def written(run: MLFlowRun) -> Run:
    return run.client.get_run(run.run_id)


def test_options_are_written_as_text_or_json(run: MLFlowRun) -> None:
    run.log_params({"method": "qat", "macs": 0.25, "formats": ["onnx"], "lr": None, "long": "x" * 5000})
    assert written(run).data.params == {
        "method": "qat",
        "macs": "0.25",
        "formats": '["onnx"]',
        "lr": "null",
        "long": "x" * 5000,
    }


def test_more_options_than_one_request_takes_are_written(run: MLFlowRun) -> None:
    run.log_params({f"option_{number}": number for number in range(250)})
    assert len(written(run).data.params) == 250


def test_numbers_are_written_at_their_step(run: MLFlowRun) -> None:
    for step in (1, 2, 3):
        run.log_metrics({"loss": 1 / step, "acc": step / 10}, step=step)
    history = run.client.get_metric_history(run.run_id, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert written(run).data.metrics == {"loss": 1 / 3, "acc": 0.3}


def test_a_closing_number_stands_at_the_last_step(run: MLFlowRun) -> None:
    run.log_metrics({"val_acc": 0.9}, step=8)
    run.log_metrics({"val_acc": 0.7}, step=3)
    run.log_metrics({"val_acc": 0.95})
    assert written(run).data.metrics == {"val_acc": 0.95}


def test_what_is_not_a_number_is_kept_as_such(run: MLFlowRun) -> None:
    run.log_metrics({"nan": math.nan, "inf": math.inf, "fine": 1.0})
    found = written(run).data.metrics
    assert math.isnan(found.pop("nan"))
    assert found == {"inf": sys.float_info.max, "fine": 1.0}  # MLflow's way to write it


def test_many_records_are_written_once_however_often_they_are_sent(run: MLFlowRun) -> None:
    records = [Record({"loss": float(step), "acc": 0.5}, step, 1000.0 + step) for step in range(700)]
    run.log_records(records)
    run.log_records(records)
    history = run.client.get_metric_history(run.run_id, "loss")
    assert [(m.step, m.value, m.timestamp) for m in history] == [
        (step, float(step), 1_000_000 + 1000 * step) for step in range(700)
    ]


def test_names_lose_what_mlflow_does_not_take(run: MLFlowRun, caplog: pytest.LogCaptureFixture) -> None:
    run.log_metrics({"lr-Adam(0)": 1.0, "/a//../b": 2.0, "((": 3.0, "grün: x y": 4.0, "n" * 300: 5.0})
    run.log_metrics({"lr-Adam(0)": 0.5}, step=1)
    run.log_params({"net[0]": "x"})
    found = written(run).data
    assert found.metrics == {"lr-Adam0": 0.5, "a/b": 2.0, "_": 3.0, "grün: x y": 4.0, "n" * 250: 5.0}
    assert found.params == {"net0": "x"}
    assert caplog.messages.count("MLflow takes no name 'lr-Adam(0)': it is recorded as 'lr-Adam0'") == 1


def test_a_long_option_is_cut(run: MLFlowRun) -> None:
    run.log_params({"text": "x" * 9000, "list": ["y" * 9000]})
    assert {len(value) for value in written(run).data.params.values()} == {6000}


def test_tags_and_files_are_written(run: MLFlowRun, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "model.py").write_text("x = 1\n")
    run.log_artifacts(tmp_path, "checkpoint")
    run.set_tags({"lifecycle.stage": "train", "long": "x" * 20_000})
    tags = written(run).data.tags
    assert tags["lifecycle.stage"] == "train"
    assert set(tags["long"]) == {"x"}
    files = run.client.list_artifacts(run.run_id, "checkpoint/code")
    assert [file.path for file in files] == ["checkpoint/code/model.py"]


def test_the_trainer_writes_steps_and_epochs_through_it(run: MLFlowRun) -> None:
    quiet(max_epochs=2, logger=run, log_every_n_steps=3).fit(Plain(), loader(), loader())
    history = {
        name: [metric.step for metric in run.client.get_metric_history(run.run_id, name)]
        for name in written(run).data.metrics
    }
    assert {name: len(steps) for name, steps in history.items() if name != "epoch"} == {
        "train_loss_step": 4,
        "train_loss_epoch": 2,
        "val_loss": 2,
    }
    assert set(history["epoch"]) == {step for steps in history.values() for step in steps}
    assert all(steps == sorted(steps) for steps in history.values())
    assert written(run).info.status == "RUNNING"  # it is neither started nor ended by the logger


def test_secrets_that_were_used_are_told_by_reference(run: MLFlowRun) -> None:
    resolve("${env:PETS_TOKEN}", {"PETS_TOKEN": "hunter2-hunter2"})
    run.log_params({"key": "hunter2-hunter2", "url": ["https://hunter2-hunter2@host"]})
    run.set_tags({"note": "tried hunter2-hunter2"})
    data = written(run).data
    assert data.params == {"key": "${env:PETS_TOKEN}", "url": '["https://${env:PETS_TOKEN}@host"]'}
    assert data.tags["note"] == "tried ${env:PETS_TOKEN}"
