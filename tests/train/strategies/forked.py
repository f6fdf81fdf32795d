"""Runs functions in two processes that meet over gloo, as torchrun would start them: forked, so in no time."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Work = Callable[[Path], Any]
ROOT = str(Path(__file__).parents[3])


def run_ranks(work: Sequence[Work], folder: Path, *, count: int = 2) -> dict[str, list[Any]]:
    """What each function gave, by its name and rank; a function that raised gave ``{"error": text}``.

    Args:
        work: Run in this order by every process; each is given a folder that all share.
        folder: For them.
        count: How many processes; 1 runs them here in the world of one.
    """
    port = free_port()
    pids = [_fork(work, folder, rank, count, port) for rank in range(count)]
    statuses = [os.waitpid(pid, 0)[1] for pid in pids]
    assert statuses == [0] * count, statuses
    return _outcomes(work, folder, count)


def run_ranks_anew(work: Sequence[Work], folder: Path, *, count: int = 2) -> dict[str, list[Any]]:
    """As `run_ranks`, of functions of modules, forked from a process that has run nothing before.

    Neither torch's compiler nor its computing threads survive a fork of one in which threads have worked.
    """
    names = [f"{each.__module__}:{each.__name__}" for each in work]
    program = "import sys; from tests.train.strategies.forked import main; main(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder), str(count), *names],
        env=os.environ | {"PYTHONPATH": ROOT},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    return _outcomes(work, folder, count)


def _outcomes(work: Sequence[Work], folder: Path, count: int) -> dict[str, list[Any]]:
    return {
        each.__name__: [
            json.loads((folder / f"{each.__name__}-{count}-{rank}.json").read_text()) for rank in range(count)
        ]
        for each in work
    }


def main(arguments: Sequence[str]) -> None:
    """Run functions that are named ``module:function`` in a folder, by so many processes."""
    import torch
    import torchmetrics

    assert torchmetrics.Metric  # imported where no rank is set yet, so that each process hears its warnings
    torch.compiler.list_backends()  # torch's compiler is loaded once, and not by each process
    folder, count, *names = arguments
    work = [getattr(importlib.import_module(module), name) for module, name in (n.split(":") for n in names)]
    run_ranks(work, Path(folder), count=int(count))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _fork(work: Sequence[Work], folder: Path, rank: int, count: int, port: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        with contextlib.suppress(KeyError):
            del os.environ["PL_GLOBAL_SEED"]
        if count > 1:
            os.environ |= {
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(count),
                "LOCAL_WORLD_SIZE": str(count),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
            }
        import torch

        torch.set_num_threads(1)
        for each in work:
            (folder / each.__name__).mkdir(parents=True, exist_ok=True)
            found = _result(each, folder / each.__name__)
            (folder / f"{each.__name__}-{count}-{rank}.json").write_text(json.dumps(found))
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _result(work: Work, folder: Path) -> Any:
    from lifecycle.core.errors import LifecycleError
    from lifecycle.train.seeding import seed_everything

    seed_everything(5, verbose=False)
    try:
        return work(folder)
    except LifecycleError as error:
        return {"error": str(error)}
