"""The train stage with a fit of two processes that write their checkpoints together."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

from lifecycle.core.budget import Budget
from lifecycle.core.reference import Reference
from lifecycle.core.stage import Context, Project
from lifecycle.session import data_maker
from lifecycle.stages.train import Train
from lifecycle.train.sharded.index import is_sharded
from tests.projects import copy_digits

TRAINER = {"max_epochs": 2, "devices": 2, "limit_train_batches": 3, "limit_val_batches": 2}


def train_both(folder: Path) -> dict[str, str]:
    """Digests of what the stage makes of whole checkpoints and of those in parts."""
    project = Project(
        name="digits",
        root=copy_digits(folder / "project").folder,
        model=Reference("model.py:ConvNet"),
        data=Reference("data.py:Digits"),
        model_args={"width": 8},
    )
    context = dataclasses.replace(
        Context(project=project, data=data_maker(project)), budget=Budget(metric="val_acc", mode="max")
    )
    return {
        kind: Train(trainer=TRAINER | {"strategy": {"name": "fsdp", "state_dict_type": kind}})
        .run({}, folder / kind, context)
        .digest
        for kind in ("full", "sharded")
    }


def test_it_becomes_the_artifact_that_a_whole_checkpoint_becomes(tmp_path: Path) -> None:
    """In a process of its own, as a command is: the stage forks it, and this one has threads of many tests."""
    program = (
        "import json, sys; from pathlib import Path; from tests.stages.test_parted_fit import train_both; "
        "Path(sys.argv[1], 'made.json').write_text(json.dumps(train_both(Path(sys.argv[1]))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    made = json.loads((tmp_path / "made.json").read_text())
    assert made["full"] == made["sharded"]
    best = {kind: tmp_path / f".{kind}.work" / "best.ckpt" for kind in made}
    assert best["full"].is_file()
    assert is_sharded(best["sharded"])
