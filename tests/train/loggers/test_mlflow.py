from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from lifecycle.train.loggers import MLFlowLogger
from tests.train.small import Plain, loader, quiet


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> MlflowClient:
    folder = tmp_path_factory.mktemp("store")
    shutil.copy(empty_store, folder / "mlflow.db")
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    client.create_experiment("tests", artifact_location=(folder / "files").as_uri())
    return client


@pytest.fixture
def logger(client: MlflowClient) -> MLFlowLogger:
    experiment = client.get_experiment_by_name("tests")
    assert experiment is not None
    return MLFlowLogger(client, client.create_run(experiment.experiment_id).info.run_id)


def written(logger: MLFlowLogger) -> Run:
    return logger.client.get_run(logger.run_id)


def test_options_are_written_as_text_or_json(logger: MLFlowLogger) -> None:
    logger.log_params({"method": "qat", "macs": 0.25, "formats": ["onnx"], "lr": None, "long": "x" * 5000})
    assert written(logger).data.params == {
        "method": "qat",
        "macs": "0.25",
        "formats": '["onnx"]',
        "lr": "null",
        "long": "x" * 5000,
    }


def test_more_options_than_one_request_takes_are_written(logger: MLFlowLogger) -> None:
    logger.log_params({f"option_{number}": number for number in range(250)})
    assert len(written(logger).data.params) == 250


def test_numbers_are_written_at_their_step(logger: MLFlowLogger) -> None:
    for step in (1, 2, 3):
        logger.log_metrics({"loss": 1 / step, "acc": step / 10}, step=step)
    history = logger.client.get_metric_history(logger.run_id, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert written(logger).data.metrics == {"loss": 1 / 3, "acc": 0.3}


def test_a_closing_number_stands_at_the_last_step(logger: MLFlowLogger) -> None:
    logger.log_metrics({"val_acc": 0.9}, step=8)
    logger.log_metrics({"val_acc": 0.7}, step=3)
    logger.log_metrics({"val_acc": 0.95})
    assert written(logger).data.metrics == {"val_acc": 0.95}


def test_numbers_that_are_not_finite_are_left_out(logger: MLFlowLogger) -> None:
    logger.log_metrics({"nan": math.nan, "inf": math.inf, "fine": 1.0})
    assert written(logger).data.metrics == {"fine": 1.0}


def test_tags_and_files_are_written(logger: MLFlowLogger, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "model.py").write_text("x = 1\n")
    logger.log_artifacts(tmp_path, "checkpoint")
    logger.set_tags({"lifecycle.stage": "train", "long": "x" * 20_000})
    tags = written(logger).data.tags
    assert tags["lifecycle.stage"] == "train"
    assert set(tags["long"]) == {"x"}
    files = logger.client.list_artifacts(logger.run_id, "checkpoint/code")
    assert [file.path for file in files] == ["checkpoint/code/model.py"]


def test_the_trainer_writes_steps_and_epochs_through_it(logger: MLFlowLogger) -> None:
    quiet(max_epochs=2, logger=logger, log_every_n_steps=3).fit(Plain(), loader(), loader())
    history = {
        name: [metric.step for metric in logger.client.get_metric_history(logger.run_id, name)]
        for name in written(logger).data.metrics
    }
    assert {name: len(steps) for name, steps in history.items()} == {
        "train_loss_step": 4,
        "train_loss_epoch": 2,
        "val_loss": 2,
        "epoch": 8,
    }
    assert all(steps == sorted(steps) for steps in history.values())
    assert written(logger).info.status == "RUNNING"  # it is neither started nor ended by the logger
