from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import PIPELINE, CommandLine

DATA = """\
import torch
import lifecycle as pl
from torch.utils.data import DataLoader

class Data(pl.DataModule):
    def __init__(self, token="", size=8):
        self.token, self.size = token, size
        if token == "wrong-wrong":
            raise RuntimeError(f"401: {token} is not valid")

    def fingerprint(self):
        return "1"

    def train_dataloader(self):
        return DataLoader(torch.ones(self.size, 2), 4)

    def val_dataloader(self):
        return DataLoader(torch.ones(self.size, 2), 4)
"""
MODEL = """\
import logging
import torch
import lifecycle as pl

class Net(pl.Module):
    example_input_array = torch.ones(1, 2)

    def __init__(self, width=1, key=""):
        super().__init__()
        self.save_hyperparameters()
        self.net = torch.nn.Linear(2, width)

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        return self(batch).square().mean()

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self(batch).square().mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)
"""
SECRET = "hunter2-hunter2"
REFERENCES = """\
data_args: {token: "${env:PETS_TOKEN}"}
"""


@pytest.fixture
def project(lifecycle: CommandLine, store: Path) -> CommandLine:
    text = PIPELINE.replace("{width: 4}", '{width: 4, key: "${env:PETS_TOKEN}"}')
    lifecycle.write("pipeline.yaml", text + REFERENCES)
    lifecycle.write("data.py", DATA)
    lifecycle.write("model.py", MODEL)
    return lifecycle


def test_it_shows_every_option_and_where_it_was_set(lifecycle: CommandLine) -> None:
    shown = lifecycle("config", "show", "pipeline.yaml", "seed=3").out.splitlines()
    assert [
        line.split(maxsplit=2) for line in shown if line.startswith(("seed", "model_args", "budget.mode"))
    ] == [
        ["model_args.width", "4", "pipeline.yaml:3:21"],
        ["seed", "3", "command line 'seed=3'"],
        ["budget.mode", '"max"', "default"],
    ]
    found = json.loads(lifecycle("config", "show", "pipeline.yaml", "--json").out)
    assert {"key": "train.trainer.max_epochs", "value": 1, "origin": "pipeline.yaml:5:31"} in found


def test_the_schema_is_printed(lifecycle: CommandLine) -> None:
    schema = json.loads(lifecycle("config", "schema").out)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "train" in schema["properties"]


def test_a_secret_is_used_and_told_to_nobody(project: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PETS_TOKEN", SECRET)
    ended = project("run", "pipeline.yaml")
    assert ended.code == 0, ended.err
    assert SECRET not in ended.out + ended.err
    files = [path for path in project.folder.rglob("*") if path.is_file()]
    assert any(path.name == "report.html" for path in files)
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
    for name in ("recipe.json", "report.html"):
        assert all("${env:PETS_TOKEN}" in path.read_text() for path in files if path.name == name)
    # Another value is the same configuration: nothing is run again.
    monkeypatch.setenv("PETS_TOKEN", "another-another")
    again = json.loads(project("run", "pipeline.yaml", "--json").out)
    assert [stage["cached"] for stage in again] == [True]


def test_a_secret_in_an_error_is_masked(project: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PETS_TOKEN", "wrong-wrong")
    ended = project("-v", "run", "pipeline.yaml")
    assert ended.code == 2
    assert "401: ${env:PETS_TOKEN} is not valid" in ended.err
    assert "wrong-wrong" not in ended.out + ended.err


def test_a_secret_that_is_not_set_is_named(project: CommandLine) -> None:
    ended = project("run", "pipeline.yaml")
    assert ended.code == 2
    assert "the environment variable PETS_TOKEN, which the pipeline file refers to, is not set" in ended.err


def test_a_reference_elsewhere_is_refused_with_what_to_write_instead(lifecycle: CommandLine) -> None:
    ended = lifecycle("run", "pipeline.yaml", "train.trainer.max_epochs=${env:EPOCHS}")
    assert (ended.code, ended.out) == (2, "")
    assert (
        "'train.trainer.max_epochs' refers to ${env:EPOCHS}: that is for model_args and data_args"
        in ended.err
    )
    assert "LIFECYCLE_TRAIN__TRAINER__MAX_EPOCHS" in ended.err
