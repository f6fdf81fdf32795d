"""One script, under ``python``, under ``torchrun``, and with ``devices=2``; and what happens when a process dies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.train.strategies import script

SCRIPT = script.__file__
ROOT = str(Path(__file__).parents[3])
CLEAN = {k: v for k, v in os.environ.items() if k not in ("PL_GLOBAL_SEED", "PYTHONWARNINGS")}


def run(
    folder: Path, command: list[str], options: dict[str, Any], **environment: str
) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, *command, SCRIPT, str(folder), json.dumps(options)],
        env={**CLEAN, "PYTHONPATH": ROOT, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=250,
    )


def ended(folder: Path) -> Any:
    return json.loads((folder / "ended.json").read_text())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What ends with ``devices=2``: torch's agent, which that process becomes, starts both."""
    folder = tmp_path_factory.mktemp("devices")
    done = run(folder, [], {"devices": 2})
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    return ended(folder)


def test_the_script_runs_alone_and_with_two_devices(tmp_path: Path, undisturbed: Any) -> None:
    script.main(tmp_path, {})
    alone = ended(tmp_path)
    assert (alone["world"], alone["step"]) == (1, 9)
    assert (undisturbed["world"], undisturbed["step"]) == (2, 9)


def test_a_killed_process_is_started_anew_and_the_fit_ends_as_if_undisturbed(
    tmp_path: Path, undisturbed: Any
) -> None:
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1"]
    done = run(tmp_path, command, {}, DIES="killed-1")
    assert done.returncode == 0, done.stderr
    assert "exitcode: -9" in done.stderr
    found = ended(tmp_path)
    assert (found["world"], found["step"]) == (2, 9)
    assert (found["weights"], found["loss"]) == (undisturbed["weights"], undisturbed["loss"])


def test_a_process_that_fails_ends_the_job_with_its_own_traceback_first(tmp_path: Path) -> None:
    done = run(tmp_path, [], {"devices": 2, "strategy": "ddp_fork"}, DIES="raises-1")
    assert done.returncode == 1
    own = done.stderr.index("ArithmeticError: this batch is cursed")
    assert done.stderr.index("Traceback (most recent call last)") < own
    others = done.stderr.find("Connection closed by peer")
    assert others == -1 or own < others
    assert "process 1 of 2 ended with status 1; the others were ended" in done.stderr
    assert "fit failed in one of 2 processes; it says above why" in done.stderr
    assert not (tmp_path / "ended.json").exists()


def test_processes_are_forked_from_one_that_has_computed_on_several_threads(tmp_path: Path) -> None:
    """They would wait for its threads, which are not forked with it: on machines with cores enough for that."""
    program = """
import os, sys
os.cpu_count = lambda: 8
import torch
from tests.train.small import Plain, loader, quiet
torch.set_num_threads(2)
(torch.randn(500, 500) @ torch.randn(500, 500)).exp().sum()
module = Plain()
module.wide = torch.nn.Linear(500, 500)
module.on_train_start = lambda: module.wide(torch.randn(500, 500)).exp().sum()
trainer = quiet(max_epochs=1, devices=2, strategy="ddp_find_unused_parameters_true", accelerator="cpu")
trainer.strategy.start_here()
trainer.fit(module, loader())
print("steps", trainer.global_step)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**CLEAN, "PYTHONPATH": ROOT, "OMP_NUM_THREADS": "2"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("steps ")
