"""The command line in the process of the tests, and a project for it."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from lifecycle.cli.main import main

PIPELINE = """\
name: tiny
model: model.py:Net
model_args: {width: 4}
data: data.py:Data
train: {trainer: {max_epochs: 1}}
"""
MODEL = "import lifecycle as pl\nclass Net(pl.Module):\n    def __init__(self, width=1): super().__init__()\n"
DATA = """\
import lifecycle as pl
class Data(pl.DataModule):
    def train_dataloader(self): return [1]
    def val_dataloader(self): return [1]
    def test_dataloader(self): return [1]
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class CommandLine:
    """Runs commands; what they print is taken from pytest's capture."""

    folder: Path
    capture: pytest.CaptureFixture[str]

    def __call__(self, *words: str) -> Ended:
        before = signal.getsignal(signal.SIGTERM)
        try:
            with pytest.raises(SystemExit) as ended:
                main(words)
        finally:
            signal.signal(signal.SIGTERM, before)
        out, err = self.capture.readouterr()
        assert isinstance(ended.value.code, int)
        return Ended(ended.value.code, out, err)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)
