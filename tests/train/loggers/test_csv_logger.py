from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lifecycle.core.errors import UsageError
from lifecycle.train.loggers import CSVLogger


def lines(logger: CSVLogger) -> list[str]:
    return (Path(logger.log_dir) / "metrics.csv").read_text().splitlines()


def test_a_row_for_each_record_and_a_column_for_each_name(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    logger.log_metrics({"loss": 0.1, "acc": 1}, step=2)
    logger.log_metrics({"loss": 1 / 3}, step=5)
    logger.save()
    assert logger.log_dir == str(tmp_path / "lightning_logs" / "version_0")
    assert lines(logger) == ["acc,loss,step", "1,0.1,2", ",0.3333333333333333,5"]


def test_columns_that_come_later_are_filled_in(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    logger.log_metrics({"loss": 0.5}, step=0)
    logger.save()
    logger.log_metrics({"loss": 0.25, "a, b": 2.0}, step=1)
    logger.log_metrics({"val": 3.0}, step=1)
    logger.save()
    assert lines(logger) == ['"a, b",loss,step,val', ",0.5,0,", "2.0,0.25,1,", ",,1,3.0"]
    assert os.listdir(logger.log_dir) == ["metrics.csv"]


def test_rows_are_saved_after_so_many_steps(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, flush_logs_every_n_steps=10)
    path = Path(logger.log_dir) / "metrics.csv"
    seen = {}
    for step in (0, 4, 9, 12, 19, 55, 56):
        logger.log_metrics({"loss": 1.0}, step=step)
        seen[step] = len(path.read_text().splitlines()) - 1 if path.exists() else 0
    assert seen == {0: 0, 4: 0, 9: 3, 12: 3, 19: 5, 55: 6, 56: 6}


def test_without_a_step_rows_are_counted(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, version="run")
    for _ in range(2):
        logger.log_metrics({"loss": 1.0})
    logger.log_metrics({"loss": 1.0}, step=7)
    logger.log_metrics({"loss": 1.0})
    logger.save()
    again = CSVLogger(tmp_path, version="run")
    again.log_metrics({"loss": 1.0})
    again.save()
    assert [line.split(",")[1] for line in lines(again)] == ["step", "0", "1", "7", "8", "9"]


def test_a_resumed_run_mends_a_row_that_was_cut(tmp_path: Path) -> None:
    first = CSVLogger(tmp_path)
    first.log_metrics({"loss": 0.5}, step=0)
    first.log_metrics({"loss": 0.25}, step=1)
    first.save()
    path = Path(first.log_dir) / "metrics.csv"
    path.write_bytes(path.read_bytes() + b"0.333333333333333")
    second = CSVLogger(tmp_path, version=0)
    second.log_metrics({"loss": 0.125}, step=2)
    second.save()
    assert lines(second) == ["loss,step", "0.5,0", "0.25,1", "0.125,2"]


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    script = f"""
import resource, signal
from lifecycle.train.loggers import CSVLogger
logger = CSVLogger({str(tmp_path)!r})
logger.log_metrics({{"loss": 0.5}}, step=0)
logger.save()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20, resource.RLIM_INFINITY))
logger.log_metrics({{"loss": 0.25}}, step=1)
logger.log_metrics({{"loss": 0.125}}, step=2)
try:
    logger.save()
except OSError:
    print(open(logger.experiment.metrics_file_path).read().split())
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
logger.save()
print(open(logger.experiment.metrics_file_path).read().split())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "['loss,step', '0.5,0']",
        "['loss,step', '0.5,0', '0.25,1', '0.125,2']",
    ]


def test_a_killed_run_leaves_a_whole_file(tmp_path: Path) -> None:
    script = f"""
from lifecycle.train.loggers import CSVLogger
logger = CSVLogger({str(tmp_path)!r}, version="run", flush_logs_every_n_steps=1)
for step in range(10**9):
    logger.log_metrics({{"loss": step / 7, f"name_{{step // 50}}": 1.0}}, step=step)
    if step == 60:
        print("going", flush=True)
"""
    running = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert running.stdout is not None
    running.stdout.readline()
    running.send_signal(signal.SIGKILL)
    running.communicate()
    logger = CSVLogger(tmp_path, version="run")
    logger.log_metrics({"loss": 0.5}, step=10**9)
    logger.save()
    header, *rows = (line.split(",") for line in lines(logger))
    assert {len(row) for row in rows} == {len(header)}
    steps = [int(row[header.index("step")]) for row in rows]
    assert steps == [*range(len(rows) - 1), 10**9]
    assert len(rows) > 60
    assert all(
        float(row[header.index("loss")]) == step / 7 for step, row in zip(steps, rows[:-1], strict=False)
    )


def test_hyperparameters_are_yaml_without_tags(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, name=None, version=3)
    logger.log_hyperparams({"sizes": (3, 4), "kind": CSVLogger, "where": Path("x")})
    text = (tmp_path / "version_3" / "hparams.yaml").read_text()
    assert text == "kind: lifecycle.train.loggers.csv_logger.CSVLogger\nsizes:\n- 3\n- 4\nwhere: x\n"


def test_a_folder_may_lie_in_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PROJECT", "digits")
    logger = CSVLogger("~/$PROJECT")
    assert logger.log_dir == str(tmp_path / "digits" / "lightning_logs" / "version_0")
    assert Path(logger.log_dir).is_dir()
    assert logger.save_dir == "~/$PROJECT"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"save_dir": "s3://bucket/logs"},
            r"^CSVLogger\(save_dir='s3://bucket/logs'\): expected a folder of this machine",
        ),
        (
            {"save_dir": ".", "flush_logs_every_n_steps": 0},
            r"^CSVLogger\(flush_logs_every_n_steps=0\): expected a whole number of at least 1$",
        ),
    ],
)
def test_what_it_cannot_do_is_refused(options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        CSVLogger(**options)
