from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.commands import DATA, MODEL, PIPELINE, CommandLine


@pytest.fixture
def lifecycle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> CommandLine:
    """The command line in a folder with a pipeline file, a module and data."""
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    line = CommandLine(tmp_path, capsys)
    for name, text in (("pipeline.yaml", PIPELINE), ("model.py", MODEL), ("data.py", DATA)):
        line.write(name, text)
    return line


@pytest.fixture
def store(tmp_path: Path, empty_store: Path) -> Path:
    """The tracking store of that folder, made beforehand to save time."""
    (tmp_path / ".lifecycle").mkdir()
    return Path(shutil.copy(empty_store, tmp_path / ".lifecycle" / "mlflow.db"))
