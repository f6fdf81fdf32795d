from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lifecycle.core.asked import COSTS, Asked
from lifecycle.core.errors import UsageError
from lifecycle.core.reference import Reference
from lifecycle.core.stage import Context, Project
from lifecycle.gates.costs import MEASURED
from lifecycle.gates.thresholds import RECORDED
from lifecycle.session import data_maker
from lifecycle.stages.rehearsal import rehearse
from tests.pipeline.tiny import tiny_project

VAL = Asked(name="val_acc", split="val", option="budget.metric", place="pipeline.yaml:11:18")
TEST = Asked(name="test_acc", split="test", option="gates.test_acc")


def context(root: Path, *asked: Asked) -> Context:
    project = Project(name="tiny", root=root, model=Reference("model.py:Net"), data=Reference("data.py:Data"))
    return Context(project=project, data=data_maker(project), asked=asked, seed=7)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_project(tmp_path_factory.mktemp("rehearsal") / "tiny")


def test_what_is_logged_is_accepted_and_leaves_no_trace(root: Path) -> None:
    before = torch.get_rng_state()
    rehearse(context(root, VAL, TEST), {})
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            Asked(name="val_ac", split="val", option="budget.metric", place="pipeline.yaml:11:18"),
            r"^pipeline\.yaml:11:18: budget\.metric is about 'val_ac', which validation_step never logs: "
            r"did you mean 'val_acc'\? Allowed: val_acc\n",
        ),
        (
            Asked(name="val_acc", split="test", option="gates.val_acc"),
            r"^gates\.val_acc is about 'val_acc', which test_step never logs: did you mean 'test_acc'\?",
        ),
    ],
)
def test_what_nobody_logs_is_told(root: Path, asked: Asked, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        rehearse(context(root, asked), {})


def test_a_slip_in_a_step_is_told_by_the_step(root: Path, tmp_path: Path) -> None:
    slipped = tiny_project(tmp_path / "slipped")
    model = slipped / "model.py"
    model.write_text(model.read_text().replace('"test_acc", (self(', '"test_acc", (slef('))
    with pytest.raises(NameError, match="slef"):
        rehearse(context(slipped, VAL, TEST), {})


def test_gates_on_what_we_measure_ask_nothing_of_the_steps() -> None:
    assert {*MEASURED, *RECORDED} == {*COSTS}
