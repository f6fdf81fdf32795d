"""One script, under ``python``, under ``torchrun``, and with ``devices=2``; and what happens when a process dies."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from lifecycle.core.errors import UsageError
from tests.train.small import Plain, loader, quiet
from tests.train.strategies import script

SCRIPT = script.__file__
ROOT = str(Path(__file__).parents[3])
CLEAN = {k: v for k, v in os.environ.items() if k not in ("PL_GLOBAL_SEED", "PYTHONWARNINGS")}


def run(
    folder: Path, command: list[str], options: dict[str, Any], *ckpt_path: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, *command, SCRIPT, str(folder), json.dumps(options), *ckpt_path],
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


@pytest.mark.parametrize("strategy", ["ddp_fork", "ddp_spawn"])
def test_however_processes_are_started_they_end_alike(
    tmp_path: Path, undisturbed: Any, strategy: str
) -> None:
    """Spawned ones begin with the seed of the script, and with weights of their own: torch would share them."""
    done = run(tmp_path, [], {"devices": 2, "strategy": strategy})
    assert done.returncode == 0, done.stderr
    found = ended(tmp_path)
    assert (found["weights"], found["loss"]) == (undisturbed["weights"], undisturbed["loss"])


def test_what_cannot_be_sent_to_spawned_processes_is_said() -> None:
    trainer = quiet(max_epochs=1, devices=2, accelerator="cpu", strategy="ddp_spawn")
    module = Plain()
    module.inner = lambda x: x
    with pytest.raises(
        UsageError, match="start_method='spawn' sends trainer, module and data to new processes, "
    ):
        trainer.fit(module, loader())


def test_processes_end_when_the_one_that_started_them_is_killed(tmp_path: Path, undisturbed: Any) -> None:
    """Nobody else would end them: they would train on, beside those of the next attempt."""
    done = run(tmp_path, [], {"devices": 2}, KILLS_AGENT="4", STEP_S="0.6")
    assert done.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 100
    while left := [
        each for each in psutil.process_iter(["cmdline"]) if str(tmp_path) in (each.info["cmdline"] or ())
    ]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    # They can no longer agree on a checkpoint with the half-summed loss of each: the newest one stays.
    assert not (tmp_path / "ended.json").exists()
    done = run(tmp_path, [], {"devices": 2}, "last")
    assert done.returncode == 0, done.stderr
    found = ended(tmp_path)
    assert (found["weights"], found["loss"]) == (undisturbed["weights"], undisturbed["loss"])


def test_a_script_that_is_read_from_a_pipe_is_none(tmp_path: Path) -> None:
    """The processes would find the pipe empty, do nothing and succeed."""
    program = "from tests.train.small import *; quiet(max_epochs=1, devices=2, accelerator='cpu').fit(Plain(), loader())"
    done = subprocess.run(
        [sys.executable, "-"],
        input=program,
        env={**CLEAN, "PYTHONPATH": ROOT, "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 1
    assert (
        "several processes run the script anew, and there is none: this is a notebook, a prompt or a pipe"
        in done.stderr
    )


@pytest.mark.parametrize(("once", "calls"), [("", 2), ("1", 1)])
def test_data_is_prepared_on_every_machine_or_once(tmp_path: Path, once: str, calls: int) -> None:
    """Two machines, as torchrun tells a process that it is on one of them."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = str(found.getsockname()[1])
    place = {"WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "PREPARES_ONCE": once}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.cluster.script", str(tmp_path), '{"max_steps": 1}'],
            env={**CLEAN, "PYTHONPATH": ROOT, "OMP_NUM_THREADS": "1", **place, **meeting}
            | {"RANK": str(rank), "GROUP_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    assert [process.wait(200) for process in processes] == [0, 0]
    assert len(list(tmp_path.glob("prepared-*"))) == calls


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
