from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle.pipeline.options import Option, list_options
from lifecycle.pipeline.spec import pipeline_of, read_layers

FILE = """\
name: digits
model: model.py:Net
data: data.py:Data
data_args: {token: "${env:TOKEN}"}
train: {trainer: {max_epochs: 15, precision: 64-true}}
prune:
  macs: 0.25
"""


@pytest.fixture
def found(tmp_path: Path) -> dict[str, Option]:
    (tmp_path / "model.py").write_text("class Net:\n    pass\n")
    (tmp_path / "data.py").write_text("class Data:\n    def __init__(self, token): pass\n")
    path = tmp_path / "pipeline.yaml"
    path.write_text(FILE)
    environment = {"LIFECYCLE_PRUNE__EPOCHS": "2", "TOKEN": "hunter2-hunter2"}
    layers = read_layers(path, environment, ["train.trainer.max_epochs=3"])
    return {each.key: each for each in list_options(layers, pipeline_of(layers, path))}


@pytest.mark.parametrize(
    ("key", "value", "origin"),
    [
        ("name", "digits", "pipeline.yaml:1:7"),
        ("seed", 0, "default"),
        ("stages", ["train", "prune"], "default"),
        ("train.trainer.max_epochs", 3, "command line 'train.trainer.max_epochs=3'"),
        ("train.trainer.precision", "64-true", "pipeline.yaml:5:46"),
        ("prune.macs", 0.25, "pipeline.yaml:7:9"),
        ("prune.epochs", 2, "environment LIFECYCLE_PRUNE__EPOCHS"),
        ("prune.importance", "magnitude", "default"),
        ("prune.trainer.precision", "64-true", "pipeline.yaml:5:46"),  # as in training
        ("budget.max_drop", None, "default"),
        ("data_args.token", "${env:TOKEN}", "pipeline.yaml:4:20"),
    ],
)
def test_every_option_says_where_it_was_set(
    found: dict[str, Option], key: str, value: object, origin: str
) -> None:
    assert found[key] == Option(key=key, value=value, origin=origin)  # type: ignore[arg-type]


def test_stages_that_do_not_run_have_no_options(found: dict[str, Option]) -> None:
    assert {key.partition(".")[0] for key in found} == {
        "name",
        "model",
        "data",
        "data_args",
        "seed",
        "budget",
        "stages",
        "train",
        "prune",
    }
