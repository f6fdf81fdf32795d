"""An untrained digits network as a checkpoint, in a project of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lifecycle.core.artifact import Artifact
from lifecycle.core.reference import Reference
from lifecycle.core.stage import Context, Project
from lifecycle.session import data_maker
from lifecycle.train.artifact import make_module, write_checkpoint
from tests.projects import copy_digits


@pytest.fixture
def context(tmp_path: Path) -> Context:
    project = Project(
        name="digits",
        root=copy_digits(tmp_path / "project").folder,
        model=Reference("model.py:ConvNet"),
        data=Reference("data.py:Digits"),
        model_args={"width": 8},
    )
    return Context(project=project, data=data_maker(project))


@pytest.fixture
def checkpoint(context: Context, tmp_path: Path) -> Artifact:
    torch.manual_seed(0)
    project = context.project
    module = make_module(project.model, project.model_args, project.root)
    return write_checkpoint(module, tmp_path / "checkpoint", project=project)
