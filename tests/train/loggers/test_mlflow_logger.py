from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient

from lifecycle.core.errors import UsageError
from lifecycle.train.callbacks.base import Callback
from lifecycle.train.loggers import Delivery, MLFlowLogger
from lifecycle.train.loggers.mlflow_store import find_store
from lifecycle.train.loggers.record import Record
from tests.train.loggers.stores import Clock


@pytest.fixture
def folder(tmp_path: Path, empty_store: Path) -> Path:
    found = tmp_path / "mlruns"
    found.mkdir()
    shutil.copy(empty_store, found / "mlflow.db")
    return found


def client(folder: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{folder}/mlflow.db")


def test_the_run_has_a_name_tags_and_files_beside_the_database(folder: Path, tmp_path: Path) -> None:
    logger = MLFlowLogger("digits/small", run_name="first", tags={"team": "vision", "n": 3}, save_dir=folder)
    (tmp_path / "note.txt").write_text("x")
    logger.experiment.log_artifact(logger.run_id, str(tmp_path / "note.txt"))
    run = client(folder).get_run(logger.run_id)
    assert run.info.run_name == "first"
    assert {name: run.data.tags[name] for name in ("team", "n")} == {"team": "vision", "n": "3"}
    assert (
        (logger.version, logger.name)
        == (logger.run_id, logger.experiment_id)
        == (
            run.info.run_id,
            run.info.experiment_id,
        )
    )
    assert client(folder).get_experiment(run.info.experiment_id).name == "digits/small"
    expected = folder / "mlartifacts" / "digits_small" / logger.run_id / "artifacts" / "note.txt"
    assert expected.read_text() == "x"


def test_the_environment_names_a_server_unless_somebody_does(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    logger = MLFlowLogger(save_dir=tmp_path / "elsewhere", artifact_location=(tmp_path / "files").as_uri())
    logger.log_metrics({"loss": 0.5}, step=0)
    assert client(folder).get_run(logger.run_id).data.metrics == {"loss": 0.5}
    assert logger.save_dir is None
    assert not (tmp_path / "elsewhere").exists()
    assert find_store("http://host", None, {"MLFLOW_TRACKING_URI": "x"}) == ("http://host", None)


def test_a_bare_folder_gets_a_database(tmp_path: Path) -> None:
    with pytest.warns(
        UserWarning, match="^MLflow no longer writes to folders such as file:./ml-runs"
    ) as told:
        logger = MLFlowLogger(tracking_uri="file:./ml-runs")
    assert (logger.save_dir, told[0].filename) == ("ml-runs", __file__)
    with pytest.warns(UserWarning, match="no longer writes"):
        assert find_store(f"file://{tmp_path}", None, {}).folder == tmp_path
    allowed = find_store("file:./ml-runs", None, {"MLFLOW_ALLOW_FILE_STORE": "true"})
    assert allowed == ("file:./ml-runs", None)


@pytest.mark.parametrize(
    ("status", "expected"),
    [("success", "FINISHED"), ("failed", "FAILED"), ("aborted", "KILLED"), ("KILLED", "KILLED")],
)
def test_the_run_ends_as_the_fit_did_and_runs_again_when_continued(
    folder: Path, status: str, expected: str
) -> None:
    logger = MLFlowLogger(save_dir=folder)
    logger.log_metrics({"loss": 0.5}, step=0)
    logger.finalize(status)
    assert client(folder).get_run(logger.run_id).info.status == expected
    again = MLFlowLogger(save_dir=folder, run_id=logger.run_id)
    assert again.experiment_id == logger.experiment_id
    assert client(folder).get_run(logger.run_id).info.status == "RUNNING"


def test_a_hyperparameter_of_a_continued_run_keeps_its_value(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = MLFlowLogger(save_dir=folder)
    first.log_hyperparams({"lr": 0.1, "epochs": 1, "act": None})
    MLFlowLogger(save_dir=folder, run_id=first.run_id).log_hyperparams({"lr": 0.1, "epochs": 2, "seed": 7})
    expected = {"lr": "0.1", "epochs": "1", "act": "None", "seed": "7"}
    assert client(folder).get_run(first.run_id).data.params == expected
    told = f"run {first.run_id} has epochs=1, and MLflow does not let it be changed to 2"
    assert [message for message in caplog.messages if message.startswith("run ")] == [told]


def test_texts_are_no_numbers(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    logger = MLFlowLogger(save_dir=folder)
    logger.log_metrics({"loss": 0.5, "phase": "warm"}, step=0)
    assert client(folder).get_run(logger.run_id).data.metrics == {"loss": 0.5}
    assert "metric 'phase' is the text 'warm', of which MLflow keeps none" in caplog.messages


def test_a_deleted_experiment_is_not_written_to(folder: Path) -> None:
    store = client(folder)
    store.delete_experiment(store.create_experiment("old"))
    with pytest.raises(
        UsageError, match=r"^the experiment 'old' was deleted\nBring it back with `mlflow exp"
    ):
        MLFlowLogger("old", save_dir=folder).log_metrics({"loss": 0.5}, step=0)


class Saves(Callback):
    """As a ModelCheckpoint that keeps the best two, and the last."""

    def __init__(self, folder: Path, save_top_k: int = 2) -> None:
        self.monitor, self.mode, self.save_top_k = "val_loss", "min", save_top_k
        self.folder = folder
        self.best_k_models: dict[str, float] = {}
        self.best_model_path, self.best_model_score = "", 0.0
        self.last_model_path, self.current_score = "", 0.0

    def save(self, name: str, score: float) -> None:
        path = self.folder / f"{name}.ckpt"
        path.write_text(name)
        os.utime(path, (score * 1000, score * 1000))
        self.best_k_models[str(path)] = score
        self.best_model_path = min(self.best_k_models, key=self.best_k_models.__getitem__)
        self.best_model_score = self.best_k_models[self.best_model_path]
        self.last_model_path = str(self.folder / "last.ckpt")
        Path(self.last_model_path).write_text(name)
        self.current_score = score


def files(folder: Path, logger: MLFlowLogger, below: str) -> list[str]:
    return sorted(file.path for file in client(folder).list_artifacts(logger.run_id, below))


@pytest.mark.parametrize(("log_model", "top_k"), [("all", 2), (True, -1)])
def test_checkpoints_are_copied_as_they_are_saved(
    folder: Path, tmp_path: Path, log_model: Any, top_k: int
) -> None:
    logger = MLFlowLogger(save_dir=folder, log_model=log_model, checkpoint_path_prefix="my/models")
    callback = Saves(tmp_path, top_k)
    callback.save("a", 2.0)
    logger.after_save_checkpoint(callback)
    assert files(folder, logger, "my/models") == ["my/models/a", "my/models/last"]
    assert files(folder, logger, "my/models/a") == [
        "my/models/a/a.ckpt",
        "my/models/a/aliases.txt",
        "my/models/a/metadata.yaml",
    ]
    place = folder / "mlartifacts" / "lightning_logs" / logger.run_id / "artifacts" / "my/models/a"
    assert yaml.safe_load((place / "metadata.yaml").read_text()) == {
        "score": 2.0,
        "original_filename": "a.ckpt",
        "Checkpoint": {"monitor": "val_loss", "mode": "min", "save_top_k": top_k},
    }
    assert (place / "aliases.txt").read_text() == "['latest', 'best']"


def test_checkpoints_may_be_copied_at_the_end(folder: Path, tmp_path: Path) -> None:
    logger, callback = MLFlowLogger(save_dir=folder, log_model=True), Saves(tmp_path)
    for name, score in (("a", 3.0), ("b", 2.0)):
        callback.save(name, score)
        logger.after_save_checkpoint(callback)
    assert files(folder, logger, "") == []
    (tmp_path / "a.ckpt").unlink()  # it is not among the best any more
    logger.finalize("success")
    assert files(folder, logger, "") == ["b", "last"]
    text = (
        folder / "mlartifacts" / "lightning_logs" / logger.run_id / "artifacts/last/last.ckpt"
    ).read_text()
    assert text == "b"


def test_a_checkpoint_is_copied_again_when_it_was_written_anew(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger, callback = MLFlowLogger(save_dir=folder, log_model="all"), Saves(tmp_path)
    copied: list[str] = []
    copy = logger.experiment.log_artifact

    def noted(run_id: str, path: str, place: str) -> None:
        copied.append(Path(path).stem)
        copy(run_id, path, place)

    monkeypatch.setattr(logger.experiment, "log_artifact", noted)
    callback.save("a", 3.0)
    logger.after_save_checkpoint(callback)
    logger.after_save_checkpoint(callback)
    callback.save("b", 2.0)
    logger.after_save_checkpoint(callback)
    assert sorted(copied) == ["a", "b", "last", "last"]


def test_a_checkpoint_that_goes_while_it_is_copied_is_not_missed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger, callback = MLFlowLogger(save_dir=folder, log_model="all"), Saves(tmp_path)
    copy = logger.experiment.log_artifact

    def replaced(run_id: str, path: str, place: str) -> None:
        if Path(path).stem == "a":
            Path(path).unlink()
        copy(run_id, path, place)

    monkeypatch.setattr(logger.experiment, "log_artifact", replaced)
    callback.save("a", 3.0)
    callback.save("b", 2.0)
    logger.after_save_checkpoint(callback)
    assert [len(files(folder, logger, name)) for name in ("a", "b", "last")] == [0, 3, 3]


def test_by_default_no_checkpoint_is_copied(folder: Path, tmp_path: Path) -> None:
    logger, callback = MLFlowLogger(save_dir=folder), Saves(tmp_path)
    callback.save("a", 3.0)
    logger.after_save_checkpoint(callback)
    logger.log_metrics({"loss": 1.0}, step=0)
    logger.finalize("success")
    assert files(folder, logger, "") == []


@pytest.mark.parametrize(("synchronous", "waits"), [(None, False), (False, False), (True, True)])
def test_it_is_written_to_in_a_thread_unless_told_otherwise(
    folder: Path, monkeypatch: pytest.MonkeyPatch, synchronous: bool | None, waits: bool
) -> None:
    logger, clock = MLFlowLogger(save_dir=folder, synchronous=synchronous), Clock()
    threads: list[threading.Thread] = []
    write = logger.log_records

    def noted(records: Sequence[Record]) -> None:
        threads.append(threading.current_thread())
        write(records)

    monkeypatch.setattr(logger, "log_records", noted)
    delivery = Delivery([logger], clock=clock)
    for step in range(100):
        clock.now += 0.1
        delivery.metrics({"loss": step / 4}, step)
    delivery.finalize("success")
    history = client(folder).get_metric_history(logger.run_id, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(step, step / 4) for step in range(100)]
    assert (threads[0] is threading.current_thread()) == waits
    assert client(folder).get_run(logger.run_id).info.status == "FINISHED"


def test_a_wrong_option_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^MLFlowLogger\(log_model='best'\): allowed: True, False, 'all'$"):
        MLFlowLogger(log_model="best")  # type: ignore[arg-type]


def test_making_the_database_is_no_news(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    level = logging.getLogger("alembic").level
    logger = MLFlowLogger(save_dir=tmp_path / "new")
    logger.log_metrics({"loss": 0.5}, step=0)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["mlflow.db", "mlflow.lock"]
    assert [record for record in caplog.records if record.levelno < logging.WARNING] == []
    assert logging.getLogger("alembic").level == level
