"""A stage's fit that dies before every single file it writes, and goes on: its best epoch is the same.

``python -m tests.stages.killed_fit`` forks for each, and says which ended otherwise.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from lifecycle.core.budget import Budget
from lifecycle.core.reference import Reference
from lifecycle.core.stage import Context, Project
from lifecycle.session import data_maker
from lifecycle.stages import fitting
from lifecycle.train.artifact import make_module
from tests.pipeline.tiny import tiny_project
from tests.train.chaos import digest

EPOCHS, BATCHES = 2, 2
DEAD = 9  # the exit code of one that died as it was to


def fit(root: Path, folder: Path) -> str:
    """Fit as the train stage does, saving every step; the digest of the best epoch's weights."""
    project = Project(name="tiny", root=root, model=Reference("model.py:Net"), data=Reference("data.py:Data"))
    context = Context(project=project, data=data_maker(project), budget=Budget(metric="val_acc"), seed=7)
    fitting.SAVE_EVERY = timedelta(0)
    torch.manual_seed(7)
    module = make_module(project.model, {}, root)
    options = {"max_epochs": EPOCHS, "limit_train_batches": BATCHES}
    fitting.fit(module, context, options, title="", folder=folder, resume=True)
    return digest(module.state_dict())


def dying(at: int) -> None:
    """Die before the so many-th file gets its name, and with that after the one before it did."""
    replace, count = Path.replace, 0

    def counted(path: Path, target: Any) -> Any:
        nonlocal count
        count += 1
        if count == at:
            os._exit(DEAD)
        return replace(path, target)

    Path.replace = counted  # type: ignore[method-assign, assignment]


def forked(work: Callable[[], str], into: Path) -> int:
    """Do something in a process of its own, and write down what comes of it; its exit code."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            into.write_text(work())
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main() -> None:
    """Try every file, until one more would be too many."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        root, result = tiny_project(place / "project"), place / "result"
        wanted = fit(root, place / "whole")  # here: what it imports is there for all that are forked
        files = 0
        while True:
            folder = place / str(files)

            def dies(folder: Path = folder, at: int = files + 1) -> str:
                dying(at)
                return fit(root, folder)

            if forked(dies, result) != DEAD:
                break
            assert forked(lambda folder=folder: fit(root, folder), result) == 0
            if result.read_text() != wanted:
                sys.exit(f"killed before file {files + 1}: another best epoch")
            files += 1
        print(f"killed before each of {files} files: the best epoch is the same")


if __name__ == "__main__":
    main()
