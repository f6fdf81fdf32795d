"""The example of a stage of another distribution, installed as its readers install it."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
from torch import nn

from lifecycle.core import plugins
from lifecycle.core.artifact import Artifact
from lifecycle.core.budget import Budget
from lifecycle.core.errors import RefusedError, UsageError
from lifecycle.core.reference import Reference
from lifecycle.core.stage import Context, Project
from lifecycle.pipeline.plugin import load_stage
from lifecycle.session import data_maker
from tests.examples.folders import EXAMPLES

FOLDER = EXAMPLES / "low_rank"


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The plug-in, built and installed into a folder that is on the path for as long as these tests run."""
    site, source = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("source") / "plugin"
    shutil.copytree(FOLDER / "plugin", source)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    options = ["--no-build-isolation", "--no-deps", "--target", str(site)]
    done = subprocess.run([*pip, *options, str(source)], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        importlib.invalidate_caches()
        plugins.table.cache_clear()
        yield
    plugins.table.cache_clear()


def test_a_layer_is_the_product_of_its_factors() -> None:
    from low_rank.factorize import factorize_, rank_for, replay

    torch.manual_seed(0)
    low = torch.randn(40, 3) @ torch.randn(3, 30)
    module = nn.Sequential(nn.Linear(30, 40), nn.ReLU(), nn.Linear(40, 4))
    with torch.no_grad():
        module[0].weight.copy_(low)
    x = torch.randn(5, 30)
    wanted = module(x)
    ranks = factorize_(module, 0.999999)
    assert ranks == {"0": 3}, "the second layer would get larger, and stays"
    assert torch.allclose(module(x), wanted, atol=1e-4)
    assert rank_for(low, 0.5) < rank_for(low, 0.99) <= 3
    again = nn.Sequential(nn.Linear(30, 40), nn.ReLU(), nn.Linear(40, 4))
    replay(again, (x,), {"edit": "low_rank", "ranks": ranks})
    again.load_state_dict(module.state_dict())
    assert torch.equal(again(x), module(x))


def test_its_options_are_checked() -> None:
    with pytest.raises(UsageError, match=r"energy is 1\.5; expected a share above 0 and at most 1"):
        load_stage("low_rank")(energy=1.5)  # type: ignore[call-arg]


def test_its_checkpoint_opens_with_smaller_layers_and_the_budget_holds_for_it(tmp_path: Path) -> None:
    from lifecycle.stages.train import Train
    from lifecycle.train.artifact import open_checkpoint, read_recipe

    project = Project(
        name="low-rank",
        root=FOLDER,
        model=Reference("model.py:WideNet"),
        data=Reference("model.py:Digits"),
        model_args={"width": 64},
    )
    context = Context(project=project, data=data_maker(project), budget=Budget(metric="val_acc"), seed=7)
    trainer = {"max_epochs": 2, "accelerator": "cpu"}
    parent = Train(trainer=trainer).run({}, tmp_path / "train" / "1", context)
    given: Mapping[str, Artifact] = {"checkpoint": parent}
    stage = load_stage("low_rank")(energy=0.7, epochs=1)  # type: ignore[call-arg]
    made = stage.run(given, tmp_path / "low" / "1", context)
    assert made.parent == parent.digest and made.numbers()["params"] < parent.numbers()["params"]
    (edit,) = read_recipe(made).edits
    module = open_checkpoint(made)
    ranks = edit["ranks"]
    assert isinstance(ranks, dict) and ranks
    for name, rank in ranks.items():
        first = module.get_submodule(name)[0]  # type: ignore[index]
        assert first.out_features == rank
    tight = Context(
        project=project,
        data=data_maker(project),
        budget=Budget(metric="val_acc", max_params=0.05),
        seed=7,
        baseline=parent,
    )
    with pytest.raises(RefusedError, match="low_rank: the model is outside the budget"):
        stage.run(given, tmp_path / "low" / "2", tight)
