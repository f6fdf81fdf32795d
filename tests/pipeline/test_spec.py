from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from lifecycle.core.budget import Budget
from lifecycle.core.errors import UsageError
from lifecycle.pipeline.spec import Pipeline, read_pipeline

HEAD = "name: digits\nmodel: model.py:Net\ndata: data.py:Data\n"
FULL = """\
name: digits
model: model.py:Net
model_args: {width: 8}
data: data.py:Data
data_args: {batch_size: 4}
seed: 7
train: {trainer: {max_epochs: 15, deterministic: false}}
prune: {macs: 0.25, importance: magnitude, epochs: 6, trainer: {deterministic: true}}
quantize: {method: qat, epochs: 2}
export: {formats: [onnx, torchscript]}
budget: {metric: val_acc, mode: max, max_drop: 0.01, max_size_mb: 1.0}
register: {alias: challenger}
gates: {test_acc: {min: 0.95, max_drop: 0.01}}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "model.py").write_text(
        "raise SystemExit\nclass Net:\n    def __init__(self, width=1): pass\n"
        "class Typed:\n    def __init__(self, width: int, lr: 'float | None' = 0.1): pass\n"
    )
    (tmp_path / "data.py").write_text(
        "class Data:\n    def __init__(self, batch_size=1): pass\n"
        "class Untested(pl.DataModule):\n    def train_dataloader(self): pass\n    val_dataloader = train_dataloader\n"
    )
    return tmp_path


def read(root: Path, text: str, environment: Mapping[str, str] | None = None, *overrides: str) -> Pipeline:
    (root / "pipeline.yaml").write_text(text)
    return read_pipeline(root / "pipeline.yaml", environment or {}, overrides)


def stage(pipeline: Pipeline, name: str) -> Any:
    return cast("Any", pipeline.stages[name])


def refusal(root: Path, text: str, *overrides: str) -> str:
    with pytest.raises(UsageError) as caught:
        read(root, text, None, *overrides)
    return str(caught.value)


def test_a_whole_file_is_read_without_running_any_of_it(root: Path) -> None:
    pipeline = read(root, FULL)
    project = pipeline.project
    assert (project.name, project.root) == ("digits", root.resolve())
    assert (project.model.text, project.data.text) == ("model.py:Net", "data.py:Data")
    assert (project.model_args, project.data_args) == ({"width": 8}, {"batch_size": 4})
    assert pipeline.seed == 7
    assert pipeline.budget == Budget(metric="val_acc", mode="max", max_drop=0.01, max_size_mb=1.0)
    assert list(pipeline.stages) == ["train", "prune", "quantize", "export", "evaluate", "register"]
    assert stage(pipeline, "prune").macs == 0.25
    assert stage(pipeline, "quantize").method == "qat"
    assert list(stage(pipeline, "export").formats) == ["onnx", "torchscript"]


def test_the_least_file_names_the_project(root: Path) -> None:
    pipeline = read(root, HEAD + "train:\n")
    assert (list(pipeline.stages), pipeline.seed, pipeline.budget) == (["train"], 0, Budget())
    assert (pipeline.project.model_args, pipeline.project.data_args) == ({}, {})


@pytest.mark.parametrize("text", [HEAD, HEAD + "stages: []\n"])
def test_a_file_without_stages_is_refused(root: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"^pipeline\.yaml names no stage; allowed: train, prune, "):
        read(root, text)


@pytest.mark.parametrize(
    ("stages", "order"),
    [
        ("export:\ntrain:\n", ["train", "export", "evaluate"]),
        ("register:\nquantize:\nprune: {macs: 0.5}\ntrain:\n", ["train", "prune", "quantize", "register"]),
        ("train:\nexport:\nevaluate:\n", ["train", "export", "evaluate"]),
        ("train:\n", ["train"]),
        ("train:\nprune: {macs: 0.5}\nstages: [prune, train]\n", ["prune", "train"]),
        ("stages: [train, export]\n", ["train", "export"]),
    ],
)
def test_stages_that_are_named_run_in_their_order_unless_it_is_listed(
    root: Path, stages: str, order: list[str]
) -> None:
    assert list(read(root, HEAD + stages).stages) == order


def test_fine_tuning_inherits_the_trainer_of_training(root: Path) -> None:
    pipeline = read(root, FULL)
    assert stage(pipeline, "train").trainer == {"max_epochs": 15, "deterministic": False}
    assert stage(pipeline, "prune").trainer["deterministic"] is True
    assert stage(pipeline, "quantize").trainer["deterministic"] is False


def test_gates_are_kept_by_registration(root: Path) -> None:
    assert stage(read(root, FULL), "register").gates == {"test_acc": {"min": 0.95, "max_drop": 0.01}}


def test_environment_and_command_line_win_over_the_file(root: Path) -> None:
    environment = {
        "LIFECYCLE_TRAIN__TRAINER__MAX_EPOCHS": "3",
        "LIFECYCLE_SEED": "5",
        "LIFECYCLE_WORKSPACE": "/x",
    }
    pipeline = read(root, FULL, environment, "seed=9", "prune.macs=0.5")
    assert stage(pipeline, "train").trainer["max_epochs"] == 3
    assert (pipeline.seed, stage(pipeline, "prune").macs) == (9, 0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            HEAD + "trian: {}\n",
            "pipeline.yaml:4:1: unknown key 'trian': did you mean 'train'? Allowed: budget, data, ",
        ),
        (
            HEAD + "prune:\n  macs: 0.5\n  epoch: 3\n",
            "pipeline.yaml:6:3: unknown key 'prune.epoch': did you mean 'epochs'? Allowed: channels, ",
        ),
        (
            HEAD + "prune: {}\n",
            "pipeline.yaml:4:1: 'prune': expected one target of macs, params, channels, latency_ms; got none",
        ),
        (
            HEAD + "prune: {macs: 2}\n",
            "pipeline.yaml:4:15: 'prune': macs: expected a fraction between 0 and 1",
        ),
        (
            HEAD + "prune: {macs: much}\n",
            "pipeline.yaml:4:15: 'prune.macs' is 'much': Input should be a valid number",
        ),
        (
            HEAD + "quantize: {method: int8}\n",
            "pipeline.yaml:4:20: 'quantize.method' is 'int8': Input should be 'static'",
        ),
        (
            HEAD + "train: {trainer: {max_epoch: 3}}\n",
            "did you mean 'max_epochs'? Allowed: accelerator, accumulate_grad_batches, ",
        ),
        (
            HEAD + "train: {trainer: {max_epochs: many}}\n",
            "trainer.max_epochs is 'many': Input should be a valid integer",
        ),
        (
            HEAD + "train: {trainer: {max_epochs: 0}}\n",
            "trainer.max_epochs is 0: Input should be greater than or equal to 1",
        ),
        (HEAD + "train: 3\n", "pipeline.yaml:4:8: 'train' is 3"),
        (
            HEAD + "stages: [train, prunne]\n",
            "pipeline.yaml:4:9: no stage 'prunne': did you mean 'prune'? Allowed: ",
        ),
        (HEAD + "stages: train\n", "pipeline.yaml:4:9: 'stages' is 'train': Input should be a valid list"),
        (
            HEAD + "budget: {max_drop: 0.1}\n",
            "pipeline.yaml:4:20: 'budget': budget.max_drop needs budget.metric",
        ),
        (HEAD + "budget: {max_mac: 1}\n", "unknown key 'budget.max_mac': did you mean 'max_macs'? Allowed: "),
        (HEAD + "budget: {metric: a, mode: up}\n", "'budget.mode' is 'up': Input should be 'max' or 'min'"),
        (
            HEAD + "gates: {test_acc: {}}\n",
            "'gates.test_acc': a gate needs a threshold: min, max, max_drop or max_ratio",
        ),
        (HEAD + "gates: {test_acc: {minn: 1}}\n", "unknown key 'gates.test_acc.minn': did you mean 'min'?"),
        (
            HEAD + "gates: [test_acc]\n",
            "pipeline.yaml:4:8: 'gates' is ['test_acc']: Input should be ",
        ),
        (HEAD + "seed: -1\n", "pipeline.yaml:4:7: 'seed' is -1; expected a whole number from 0 to 2**63 - 1"),
        (
            HEAD + "budget: {max_macs: -1}\n",
            "'budget': max_macs is -1.0; expected at least 0",
        ),
        (HEAD + "gates: {loss: {max: .nan}}\n", "'gates' is {'loss': {'max': nan}}: expected finite numbers"),
        (HEAD + "train: &a {trainer: *a}\n", "'train' is nested without end: an alias of itself"),
        (HEAD + "export: {formats: [torchscript]}\n", "add onnx, which is what evaluate and serve run"),
        (HEAD + "evaluate: {timed_calls: 1}\n", "timed_calls is 1; expected at least 2"),
        (HEAD + "prune: {macs: 0.5, round_to: 0}\n", "round_to is 0; expected at least 1"),
        (HEAD + "prune: {macs: 0.5, lr: -1}\n", "lr is -1.0; expected a number above 0"),
        (HEAD + "train: {trainer: {limit_val_batches: 1.5}}\n", "trainer.limit_val_batches is 1.5: "),
        (HEAD + "seed: seven\n", "pipeline.yaml:4:7: 'seed' is 'seven': Input should be a valid integer"),
        (
            HEAD + "model_args: {widht: 3}\n",
            "'model': model.py:Net takes no argument 'widht': did you mean 'width'?",
        ),
        (
            HEAD + "data_args: {batch: 3}\n",
            "'data': data.py:Data takes no argument 'batch': did you mean 'batch_size'?",
        ),
        (
            "name: digits\nmodel: model.py:Net\n",
            "the pipeline file lacks 'data'; it needs at least: name, model, data",
        ),
        ("model: model.py:Net\ndata: data.py:Data\n", "the pipeline file lacks 'name'; it needs at least"),
        (
            HEAD.replace("digits", "my digits"),
            "pipeline.yaml:1:7: 'name' is 'my digits'; expected letters, digits, '-'",
        ),
        (HEAD.replace("name: digits", "name: ../x"), "pipeline.yaml:1:7: 'name' is '../x'; expected letters"),
        (
            HEAD.replace("model.py:Net", "model.py"),
            "pipeline.yaml:2:8: 'model': 'model.py' names no class: expected FILE.py:CLASS or package.",
        ),
        (
            HEAD.replace("model.py:Net", "model.py:Typed"),
            "pipeline.yaml:2:8: model.py:Typed needs 'width', which model_args does not give\n"
            "Write model_args: {width: …}, or give defaults.",
        ),
        (
            HEAD.replace("model.py:Net", "model.py:Typed") + "model_args: {width: wide}\n",
            "pipeline.yaml:4:21: 'model_args.width' is 'wide': Input should be a valid integer; "
            "model.py:Typed takes width: int",
        ),
        (
            HEAD.replace("model.py:Net", "model.py:Typed") + "model_args: {width: 3, lr: 1e-3}\n",
            "'model_args.lr' is '1e-3': Input should be a valid number; model.py:Typed takes lr: float | None\n"
            "YAML reads 1e-3 as text; as a number it is 0.001.",
        ),
        (
            HEAD + "model_args: {width: 1e1}\n",
            "'model_args.width' is '1e1', a text, and model.py:Net takes a number\nYAML reads 1e1 as text",
        ),
        (
            HEAD.replace("data.py:Data", "data.py:Untested") + "train:\nexport:\n",
            "pipeline.yaml:3:7: data.py:Untested has no test_dataloader, and the stage 'evaluate' cannot do "
            "without\nSet some samples apart in setup, and return them: def test_dataloader(self): return ",
        ),
        (HEAD.replace("model.py:Net", "modle.py:Net"), "pipeline.yaml:2:8: 'model': no file "),
        (
            HEAD.replace("py:Net", "py:Nett"),
            "pipeline.yaml:2:8: 'model': model.py defines no class 'Nett': did you mean",
        ),
        (
            HEAD.replace("model.py:Net", "../m.py:Net"),
            "pipeline.yaml:2:8: 'model': '../m.py:Net' lies outside ",
        ),
    ],
)
def test_what_is_wrong_is_refused_with_place_and_what_is_allowed(root: Path, text: str, message: str) -> None:
    assert message in refusal(root, text)


def test_loaders_may_be_the_models(root: Path) -> None:
    text = HEAD.replace("data.py:Data", "data.py:Untested") + "train:\nexport:\n"
    assert "has no test_dataloader" in refusal(root, text)
    with (root / "model.py").open("a") as model:
        model.write("    def test_dataloader(self): pass\n")
    read(root, text.replace("py:Net", "py:Typed") + "model_args: {width: 3}\n")


def test_a_wrong_override_is_told_as_such(root: Path) -> None:
    assert refusal(root, FULL, "prune.macs=much").startswith(
        "command line 'prune.macs=much': 'prune.macs' is 'much'"
    )
    assert refusal(root, FULL, "prun.macs=0.5").startswith("command line 'prun.macs=0.5': unknown key 'prun'")


def test_quantizing_before_pruning_is_refused_with_the_right_order(root: Path) -> None:
    stages = "train:\nquantize:\nprune: {macs: 0.5}\nstages: [train, quantize, prune]\n"
    refused = refusal(root, HEAD + stages)
    assert "quantizes before it prunes" in refused and refused.endswith("the order is prune, quantize")
