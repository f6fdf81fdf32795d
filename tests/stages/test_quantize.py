"""The quantize stage on the digits, with modules of several kinds: what is recorded, exported and refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lifecycle.core.artifact import Artifact
from lifecycle.core.budget import Budget
from lifecycle.core.errors import RefusedError, UsageError
from lifecycle.core.progress import NullProgress
from lifecycle.core.reference import Reference
from lifecycle.core.stage import Context, Project
from lifecycle.export.operators import quantized_weights, runtime_operators
from lifecycle.session import data_maker
from lifecycle.stages.export import Export, export_checkpoint
from lifecycle.stages.quantize import Quantize
from lifecycle.stages.score import score_bundle
from lifecycle.stages.train import Train
from lifecycle.train.artifact import open_checkpoint, read_recipe
from tests.projects import DIGITS

FOOT = DIGITS.joinpath("model.py").read_text().partition("    def postprocess")[2]
HEAD = """
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import lifecycle as pl


class Net(pl.Module):
    def __init__(self, lr: float = 0.01) -> None:
        super().__init__()
        self.lr = lr
"""
MODELS = {
    # Rows of an image are a sequence: an LSTM, then linear layers.
    "sequence": """
        self.rows = nn.LSTM(8, 24, batch_first=True)
        self.mix = nn.Linear(24, 32)
        self.head = nn.Linear(32, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.rows(image.float().flatten(1, 2) / 16)[0]
        return self.head(torch.relu(self.mix(x)).mean(1))
""",
    # In training a layer is dropped at random, and an auxiliary head gives a second output: no graph has both.
    "dropping": """
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.block = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.head = nn.Linear(16 * 16, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image.float() / 16)
        if not self.training or torch.rand(()) < 0.8:
            x = x + self.block(x)
        return self.head(nn.functional.max_pool2d(x, 2).flatten(1))
""",
    "blinded": """
        self.first, self.middle, self.last = nn.Linear(64, 32), nn.Linear(32, 33), nn.Linear(33, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = torch.relu(self.middle(torch.relu(self.first(image.flatten(1).float() / 16))))
        x = torch.cat([x[:, :32], 1e4 + 0 * x[:, 32:]], 1)
        return self.last(x) - 1e4 * self.last.weight[:, 32]
""",
}


def context_of(folder: Path, name: str, **model_args: object) -> Context:
    folder.mkdir()
    shutil.copy(DIGITS / "data.py", folder)
    (folder / "model.py").write_text(HEAD + MODELS[name] + "\n    def postprocess" + FOOT)
    project = Project(
        name="digits", root=folder, model=Reference("model.py:Net"), data=Reference("data.py:Digits")
    )
    return Context(project=project, data=data_maker(project))


def trained(context: Context, folder: Path) -> Artifact:
    return Train(trainer={"max_epochs": 4}).run({}, folder, context)


Made = tuple[Context, Artifact]


@pytest.fixture(scope="module")
def sequence(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("sequence")
    context = context_of(folder / "project", "sequence")
    return context, trained(context, folder / "dense")


@pytest.fixture(scope="module")
def dropping(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("dropping")
    context = context_of(folder / "project", "dropping")
    return context, trained(context, folder / "dense")


def test_dynamic_quantization_is_recorded_and_done_to_the_file(sequence: Made, tmp_path: Path) -> None:
    context, dense = sequence
    small = Quantize(method="dynamic").run({"checkpoint": dense}, tmp_path / "small", context)
    assert [edit["edit"] for edit in read_recipe(small).edits] == ["quantize_file"]
    assert small.numbers()["val_acc"] >= dense.numbers()["val_acc"] - 0.02
    module, again = open_checkpoint(dense), open_checkpoint(small)
    assert all(torch.equal(one, again.state_dict()[name]) for name, one in module.state_dict().items())

    bundle = Export(formats=("onnx",)).run({"checkpoint": small}, tmp_path / "bundle", context)
    file = bundle.file("model.onnx")
    operators = runtime_operators(file)
    assert operators["DynamicQuantizeLSTM"] == 1
    assert operators["DynamicQuantizeMatMul"] + operators["MatMulIntegerToFloat"] == 2
    assert not {"LSTM", "MatMul", "Gemm"} & operators.keys()
    float_bundle = export_checkpoint(dense, tmp_path / "dense", context, ("onnx",), {})
    assert file.stat().st_size < 0.5 * float_bundle.file("model.onnx").stat().st_size
    runs = [comparison["run"] for comparison in bundle.read_json("parity.json")["comparisons"]]
    assert runs == ["as written", "as run", "quantized, as written", "quantized, as run"]
    scores = [score_bundle(small, each, context).metrics["test_acc"] for each in (bundle, float_bundle)]
    assert scores[0] >= scores[1] - 0.02


def test_a_format_that_cannot_carry_it_is_refused(sequence: Made, tmp_path: Path) -> None:
    context, dense = sequence
    small = Quantize(method="dynamic").run({"checkpoint": dense}, tmp_path / "small", context)
    with pytest.raises(RefusedError, match=r"torchscript cannot carry the dynamic .*\nLeave torchscript out"):
        Export(formats=("onnx", "torchscript")).run({"checkpoint": small}, tmp_path / "bundle", context)
    assert not (tmp_path / "bundle").exists()
    with pytest.raises(UsageError, match=r"quantized already \(dynamic\)\nQuantize the checkpoint"):
        Quantize(method="static").run({"checkpoint": small}, tmp_path / "twice", context)


def test_layers_named_stay_in_float_in_the_file(sequence: Made, tmp_path: Path) -> None:
    context, dense = sequence
    stage = Quantize(method="dynamic", keep_float=("head", "rows"))
    small = stage.run({"checkpoint": dense}, tmp_path / "small", context)
    bundle = Export().run({"checkpoint": small}, tmp_path / "bundle", context)
    weights = quantized_weights(bundle.file("model.onnx"))
    assert (weights.linears, weights.quantized_linears) == (2, 1)
    assert runtime_operators(bundle.file("model.onnx"))["LSTM"] == 1
    with pytest.raises(UsageError, match=r"keep_float: 'heads' matches no module; did you mean 'head'"):
        Quantize(method="dynamic", keep_float=("heads",)).run(
            {"checkpoint": dense}, tmp_path / "none", context
        )


def test_what_cannot_be_traced_for_training_is_quantized_in_its_file(dropping: Made, tmp_path: Path) -> None:
    context, dense = dropping
    stage = Quantize(method="static", calibration="entropy")
    small = stage.run({"checkpoint": dense}, tmp_path / "small", context)
    (edit,) = read_recipe(small).edits
    assert edit["edit"] == "quantize_file" and edit["method"] == "static"
    assert "forward of Net cannot be traced" in str(edit["reason"])
    assert small.numbers()["val_acc"] >= dense.numbers()["val_acc"] - 0.02
    bundle = Export().run({"checkpoint": small}, tmp_path / "bundle", context)
    operators = runtime_operators(bundle.file("model.onnx"))
    assert (operators["QLinearConv"], operators["QLinearAdd"]) == (2, 1)
    assert not {"Conv", "Gemm", "MatMul", "Add"} & operators.keys()
    again = Export().run({"checkpoint": small}, tmp_path / "again", context)
    assert again.digest == bundle.digest


def test_what_cannot_be_traced_cannot_be_trained_through(dropping: Made, tmp_path: Path) -> None:
    context, dense = dropping
    with pytest.raises(UsageError, match=r"nothing to train through\nmethod: static quantizes the exported"):
        Quantize(method="qat").run({"checkpoint": dense}, tmp_path / "qat", context)
    assert not (tmp_path / "qat").exists()
    with pytest.raises(RefusedError, match=r"dynamic quantization of the file finds nothing .* Conv, Gemm"):
        Quantize(method="dynamic", keep_float=("head",)).run(
            {"checkpoint": dense}, tmp_path / "dynamic", context
        )


class Remembered(NullProgress):
    """What was said."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def blinded(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Between two layers one value is ten thousand times as large as the others: eight bits see no other."""
    folder = tmp_path_factory.mktemp("blinded")
    context = context_of(folder / "project", "blinded")
    return context, trained(context, folder / "dense")


def test_layers_that_hurt_stay_in_float_until_the_budget_holds(blinded: Made, tmp_path: Path) -> None:
    context, dense = blinded
    progress = Remembered()
    budget = Budget(metric="val_acc", max_drop=0.02)
    strict = replace(context, baseline=dense, budget=budget, progress=progress)
    stage = Quantize(method="static", calibration="min_max")
    small = stage.run({"checkpoint": dense}, tmp_path / "small", strict)
    (edit,) = read_recipe(small).edits
    assert edit["keep_float"] == ["last"]
    assert small.numbers()["val_acc"] >= dense.numbers()["val_acc"] - 0.02
    assert any("is outside the budget: trying again with last in float" in note for note in progress.notes)
    weights = quantized_weights(
        Export().run({"checkpoint": small}, tmp_path / "bundle", context).file("model.onnx")
    )
    assert (weights.linears, weights.quantized_linears) == (3, 2)

    with pytest.raises(RefusedError, match="quantize: the model is outside the budget"):
        replace(stage, float_layers=0).run({"checkpoint": dense}, tmp_path / "none", strict)
    assert not (tmp_path / "none").exists()
