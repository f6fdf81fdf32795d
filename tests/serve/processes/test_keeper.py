from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from lifecycle.serve.processes.keeper import Keeper

# Notes that it runs, and ends when its standard input does.
CHILD = "import os, sys; print(os.getpid(), file=open(sys.argv[1], 'a'), flush=True); sys.stdin.read()"
PARENT = (
    "import sys, time; from lifecycle.serve.processes.keeper import Keeper\n"
    "with Keeper([sys.executable, '-c', sys.argv[1], sys.argv[2]]): time.sleep(60)"
)


def pids(path: Path, count: int) -> list[int]:
    """Of the first children, as soon as there are so many."""
    deadline = time.monotonic() + 60
    while len(found := path.read_text().split() if path.exists() else []) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return [int(pid) for pid in found]


def test_a_child_that_dies_is_followed_by_another_and_the_last_ends_with_the_context(tmp_path: Path) -> None:
    path = tmp_path / "pids"
    with Keeper([sys.executable, "-c", CHILD, str(path)]):
        os.kill(pids(path, 1)[0], signal.SIGKILL)
        last = pids(path, 2)[1]
    assert not psutil.pid_exists(last)


def test_a_child_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "pids"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, CHILD, str(path)])
    [child] = pids(path, 1)
    watched = psutil.Process(child)
    parent.kill()
    parent.wait()
    psutil.wait_procs([watched], timeout=60)
    assert not psutil.pid_exists(child)
