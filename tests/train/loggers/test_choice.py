from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lifecycle.core.errors import UsageError
from lifecycle.train.loggers import CSVLogger, DummyLogger, TensorBoardLogger, default_logger, loggers_of
from tests.train.small import Recorder


def test_by_default_it_is_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    for value in (None, True):
        (found,) = loggers_of(value, tmp_path)
        assert isinstance(found, TensorBoardLogger)
    assert found.save_dir == str(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert found.log_dir == str(tmp_path / "lightning_logs" / "version_0")


def test_without_tensorboard_it_is_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lifecycle.train.loggers.choice.find_spec", lambda name: None)
    found = default_logger(tmp_path)
    assert isinstance(found, CSVLogger)
    assert found.log_dir == str(tmp_path / "lightning_logs" / "version_0")


def test_one_several_or_none(tmp_path: Path) -> None:
    first, second = Recorder(), CSVLogger(tmp_path)
    assert loggers_of(False, tmp_path) == []
    assert loggers_of(first, tmp_path) == [first]
    assert loggers_of((first, second), tmp_path) == [first, second]
    assert loggers_of([], tmp_path) == []


def test_in_a_trial_run_one_stands_in_for_all(tmp_path: Path) -> None:
    (found,) = loggers_of([Recorder(), Recorder()], tmp_path, dummy=True)
    assert isinstance(found, DummyLogger)
    assert loggers_of(False, tmp_path, dummy=True) == []


@pytest.mark.parametrize("value", ["csv", 3, CSVLogger, ["csv"], {"logger": "csv"}])
def test_what_is_no_logger_is_refused(value: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is no logger: it has no log_metrics\(metrics, step=\.\.\.\)"):
        loggers_of(value, tmp_path)


def test_a_dummy_takes_whatever_a_module_writes() -> None:
    logger = DummyLogger()
    logger.log_metrics({"loss": 1.0}, step=0)
    logger.log_hyperparams({"lr": 1.0})
    logger.experiment.add_image("x", 3)
    logger.experiment["a/b"].append(3)
    logger.experiment["a/b"] = 3
    logger.log_image(key="x")
    logger[0].experiment.anything()
    logger.finalize("success")
    assert (logger.name, logger.version, logger.log_dir) == ("", "", None)
