from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import lifecycle as pl
from lifecycle.core.artifact import Artifact, Draft, open_artifact
from lifecycle.core.canonical import JSON, readable_json
from lifecycle.core.errors import ArtifactError, UsageError
from lifecycle.core.reference import Reference
from lifecycle.core.stage import Project
from lifecycle.train.artifact import (
    make_module,
    open_checkpoint,
    read_recipe,
    unique_tensors,
    write_checkpoint,
)

ROOT = Path(__file__).parents[2]
MODEL = """\
import torch
from torch import nn

import lifecycle as pl
from layers import scale


class Tied(pl.Module):
    def __init__(self, width: int = 6, bias: bool = True):
        super().__init__()
        self.encoder = nn.Linear(4, width, bias=bias)
        self.decoder = nn.Linear(width, 4, bias=bias)
        self.again = nn.Linear(4, width, bias=bias)
        self.again.weight = self.encoder.weight
        self.norm = nn.BatchNorm1d(width)
        self.register_buffer("empty", torch.zeros(0))
        self.example_input_array = torch.zeros(2, 4)

    def forward(self, x):
        return self.decoder(scale(self.norm(self.encoder(x) + self.again(x))))


class Other(nn.Module):
    pass
"""
INPUTS = torch.linspace(-1, 1, 20).reshape(5, 4)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    root = tmp_path / "project"
    root.mkdir()
    (root / "model.py").write_text(MODEL)
    (root / "layers.py").write_text("def scale(x):\n    return 2 * x\n")
    (root / "data.py").write_text(
        "import lifecycle as pl\nimport paths\n\n\nclass Data(pl.DataModule):\n    pass\n"
    )
    (root / "paths.py").write_text("here = 1\n")
    (root / "unrelated.py").write_text("")
    return Project(
        name="tied",
        root=root,
        model=Reference("model.py:Tied"),
        data=Reference("data.py:Data"),
        model_args={"width": 5},
    )


def trained(project: Project) -> pl.Module:
    """A module whose weights, running means and mode are not those of a fresh one."""
    torch.manual_seed(1)
    module = make_module(project.model, project.model_args, project.root)
    for _ in range(3):
        module(torch.randn(8, 4))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter))
    return module


def answer(module: pl.Module) -> torch.Tensor:
    with torch.inference_mode():
        return module.eval()(INPUTS)  # type: ignore[no-any-return]


def test_a_checkpoint_rebuilds_the_module_to_the_bit_in_another_process(
    tmp_path: Path, project: Project
) -> None:
    module = trained(project)
    write_checkpoint(module, tmp_path / "kept", project=project)
    expected = answer(module)
    (project.root / "layers.py").write_text(
        "def scale(x):\n    return 3 * x\n"
    )  # an edit meets no old weights
    script = (
        "import sys, torch; from pathlib import Path\n"
        "from lifecycle.core.artifact import open_artifact\n"
        "from lifecycle.train.artifact import open_checkpoint\n"
        "folder = Path(sys.argv[1])\n"
        "module = open_checkpoint(open_artifact(folder / 'kept'))\n"
        "assert module.again.weight is module.encoder.weight, 'tied weights came apart'\n"
        "assert not module.training\n"
        "inputs = torch.linspace(-1, 1, 20).reshape(5, 4)\n"
        "with torch.inference_mode():\n"
        "    torch.save(module(inputs), folder / 'answer.pt')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert torch.equal(torch.load(tmp_path / "answer.pt"), expected)


def test_a_checkpoint_holds_weights_recipe_signature_and_code(tmp_path: Path, project: Project) -> None:
    parent = write_checkpoint(trained(project), tmp_path / "parent", project=project)
    edits: list[dict[str, JSON]] = [{"edit": "quantize", "method": "static"}]
    artifact = write_checkpoint(
        trained(project),
        tmp_path / "kept",
        project=project,
        edits=edits,
        parent=parent,
        facts={"val_acc": 0.5},
    )
    assert sorted(
        p.relative_to(artifact.path).as_posix() for p in artifact.path.rglob("*") if p.is_file()
    ) == [
        "code/data.py",
        "code/layers.py",
        "code/model.py",
        "code/paths.py",
        "facts.json",
        "manifest.json",
        "recipe.json",
        "signature.json",
        "weights.safetensors",
    ]
    assert artifact.kind == "checkpoint"
    assert artifact.parent == parent.digest
    assert artifact.facts["val_acc"] == 0.5
    assert artifact.read_json("recipe.json") == {
        "format": 1,
        "model": {"reference": "model.py:Tied", "args": {"width": 5}},
        "data": {"reference": project.data.text, "args": dict(project.data_args)},
        "seed": 0,
        "edits": edits,
    }
    recipe = read_recipe(artifact)
    assert (recipe.model, recipe.args, list(recipe.edits)) == (project.model, {"width": 5}, edits)
    signature = pl.Signature.from_json(artifact.read_json("signature.json"))
    assert [spec.name for spec in signature.inputs] == ["x"]


def test_the_same_module_has_the_same_digest_wherever_it_is_kept(tmp_path: Path, project: Project) -> None:
    first = write_checkpoint(trained(project), tmp_path / "first", project=project, facts={"seconds": 1})
    second = write_checkpoint(trained(project), tmp_path / "below" / "second", project=project)
    assert first.digest == second.digest


def test_tied_weights_are_kept_once(tmp_path: Path, project: Project) -> None:
    artifact = write_checkpoint(trained(project), tmp_path / "kept", project=project)
    saved = load_file(artifact.file("weights.safetensors"))
    assert "encoder.weight" in saved
    assert "again.weight" not in saved
    module: Any = open_checkpoint(artifact)
    assert torch.equal(module.again.weight, saved["encoder.weight"])


def test_views_of_one_tensor_are_not_taken_for_tied() -> None:
    class Views(pl.Module):
        def __init__(self) -> None:
            super().__init__()
            square = torch.arange(4.0).reshape(2, 2)
            self.register_buffer("square", square)
            self.register_buffer("turned", square.t())
            self.register_buffer("part", square[:1])

    kept = unique_tensors(Views())
    assert set(kept) == {"square", "turned", "part"}
    assert torch.equal(kept["turned"], kept["square"].t())


def test_two_checkpoints_of_the_same_file_do_not_mix(tmp_path: Path, project: Project) -> None:
    module = trained(project)
    before = write_checkpoint(module, tmp_path / "before", project=project)
    expected = answer(module)
    (project.root / "layers.py").write_text("def scale(x):\n    return -x\n")
    after = write_checkpoint(trained(project), tmp_path / "after", project=project)
    assert before.digest != after.digest
    assert torch.equal(answer(open_checkpoint(before)), expected)
    assert not torch.equal(answer(open_checkpoint(after)), expected)
    assert torch.equal(answer(open_checkpoint(before)), expected)


def rewritten(artifact: Artifact, into: Path, name: str, content: bytes) -> Artifact:
    """The same checkpoint with another content of one file, sealed anew."""
    with Draft(into) as draft:
        for file in artifact.path.rglob("*"):
            if file.is_file() and file.name not in ("manifest.json", "facts.json"):
                copy = draft.path / file.relative_to(artifact.path)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(
                    content if copy.relative_to(draft.path).as_posix() == name else file.read_bytes()
                )
        return draft.seal("checkpoint")


def test_weights_of_another_module_are_refused(tmp_path: Path, project: Project) -> None:
    artifact = write_checkpoint(trained(project), tmp_path / "kept", project=project)
    save_file({"encoder.weight": torch.zeros(1), "alien": torch.zeros(1)}, tmp_path / "weights")
    wrong = rewritten(
        artifact, tmp_path / "wrong", "weights.safetensors", (tmp_path / "weights").read_bytes()
    )
    with pytest.raises(
        ArtifactError,
        match=r"wrong: weights do not belong to the recipe's module; differing: again.bias, alien, ",
    ):
        open_checkpoint(wrong)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"format": 2}, ArtifactError, r"wrong: recipe of format 2; this version reads 1$"),
        (
            {"edits": [{"edit": "prune"}]},
            UsageError,
            r"^no edit is called 'prune': did you mean 'prune_channels'\?",
        ),
        (
            {"model": {"reference": "model.py:Tied", "args": {"widht": 3}}},
            UsageError,
            r"^model.py:Tied cannot be made with model_args \{'widht': 3\}: .*'widht'",
        ),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(
    tmp_path: Path, project: Project, change: dict[str, JSON], error: type[Exception], message: str
) -> None:
    artifact = write_checkpoint(trained(project), tmp_path / "kept", project=project)
    recipe = readable_json({**json.loads(artifact.file("recipe.json").read_bytes()), **change})
    wrong = rewritten(artifact, tmp_path / "wrong", "recipe.json", recipe)
    with pytest.raises(error, match=message):
        open_checkpoint(wrong)


def test_an_altered_checkpoint_does_not_open(tmp_path: Path, project: Project) -> None:
    artifact = write_checkpoint(trained(project), tmp_path / "kept", project=project)
    (artifact.path / "code" / "layers.py").write_text("import os\n")
    with pytest.raises(ArtifactError, match=r"was altered: code/layers.py differs from its SHA-256"):
        open_artifact(artifact.path)


def test_a_class_that_is_no_module_of_ours_is_refused(project: Project) -> None:
    with pytest.raises(
        UsageError, match=r"^model.py:Other is no lifecycle.Module: write `class Other\(lifecycle.Module\)`$"
    ):
        make_module(Reference("model.py:Other"), {}, project.root)


def test_nothing_is_left_when_a_module_does_not_tell_its_input(tmp_path: Path, project: Project) -> None:
    module = trained(project)
    module.example_input_array = None
    with pytest.raises(UsageError, match="Tied does not say what its input looks like"):
        write_checkpoint(module, tmp_path / "kept" / "here", project=project)
    assert list((tmp_path / "kept").iterdir()) == []


def test_a_module_to_train_further_keeps_the_modes_that_its_class_sets(
    tmp_path: Path, project: Project
) -> None:
    (project.root / "model.py").write_text(
        (project.root / "model.py").read_text() + "\n\nclass Frozen(Tied):\n"
        "    def __init__(self):\n        super().__init__()\n        self.encoder.eval()\n"
    )
    frozen = replace(project, model=Reference("model.py:Frozen"), model_args={})
    module = make_module(frozen.model, {}, frozen.root)
    kept = write_checkpoint(module, tmp_path / "kept", project=frozen)
    again = open_checkpoint(kept, training=True)
    assert again.training and not again.encoder.training
    assert not open_checkpoint(kept).training
