"""Which processes train together, as whoever started them says in the environment."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from lifecycle.core.errors import UsageError

# What our agent tells the processes that it starts: when, and which process it is.
JOB_STARTED, AGENT = "LIFECYCLE_JOB_STARTED", "LIFECYCLE_AGENT"
_PR_SET_PDEATHSIG = 1  # of Linux, prctl(2)


@dataclass(frozen=True, kw_only=True)
class World:
    """This process among those that train together.

    Attributes:
        rank: Its index among all.
        local_rank: Its index on its machine.
        size: How many there are.
        local_size: How many on this machine.
        node: Index of this machine.
        nodes: How many machines there are.
        started_by: ``torchrun``, ``Slurm``, or ``this process``.
    """

    rank: int = 0
    local_rank: int = 0
    size: int = 1
    local_size: int = 1
    node: int = 0
    nodes: int = 1
    started_by: str = "this process"


def world_of(environment: Mapping[str, str] | None = None) -> World | None:
    """The world that torchrun or Slurm started this process in; None where nobody did.

    Read are the variables that torchrun documents (``RANK``, ``LOCAL_RANK``, ``WORLD_SIZE``,
    ``LOCAL_WORLD_SIZE``, ``GROUP_RANK``), then those that ``srun`` sets for each process
    (``SLURM_PROCID``, ``SLURM_LOCALID``, ``SLURM_NODEID``, ``SLURM_STEP_NUM_TASKS``, …), which do not count
    in an interactive job. The script of a batch job is one process, however many tasks the job has.

    Raises:
        UsageError: they contradict each other.

    >>> world_of({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}).node
    1
    """
    environment = os.environ if environment is None else environment
    if "RANK" in environment and "WORLD_SIZE" in environment:
        return _torchrun(environment)
    by_srun = _several(environment, "SLURM_STEP_NUM_TASKS") and not _typed(environment)
    return _slurm(environment) if by_srun else None


def alone_in_slurm(environment: Mapping[str, str] | None = None) -> str:
    """Why a process of a Slurm job of several tasks trains alone; empty where nobody needs to know."""
    environment = os.environ if environment is None else environment
    if "RANK" in environment:
        return ""
    if "SLURM_STEP_NUM_TASKS" in environment:
        if not (_typed(environment) and _several(environment, "SLURM_STEP_NUM_TASKS")):
            return ""
        return (
            f"srun started {environment['SLURM_STEP_NUM_TASKS']} processes, and each trains alone, as "
            f"SLURM_JOB_NAME={environment['SLURM_JOB_NAME']} says that somebody types in this job: "
            "`salloc --job-name=fit` has them train together"
        )
    if _typed(environment) or not _several(environment, "SLURM_NTASKS"):
        return ""
    return (
        f"this process trains alone: the Slurm job has {environment['SLURM_NTASKS']} tasks, and "
        "`srun python …` starts one in each of them"
    )


def _typed(environment: Mapping[str, str]) -> bool:
    """Whether somebody types in this job: such run one process, whatever they reserve."""
    return environment.get("SLURM_JOB_NAME") in ("bash", "interactive")


def _several(environment: Mapping[str, str], name: str) -> bool:
    """Whether a variable of Slurm counts more than one task."""
    tasks = environment.get(name, "")
    return "SLURM_PROCID" in environment and tasks.isdecimal() and int(tasks) > 1


def _torchrun(environment: Mapping[str, str]) -> World:
    rank, size = _number(environment, "RANK"), _number(environment, "WORLD_SIZE")
    local_rank = _number(environment, "LOCAL_RANK", rank)
    local_size = _number(environment, "LOCAL_WORLD_SIZE", size)
    node = _number(environment, "GROUP_RANK", rank // max(local_size, 1))
    return _checked(rank, local_rank, size, local_size, node, max(size // max(local_size, 1), 1), "torchrun")


def _slurm(environment: Mapping[str, str]) -> World:
    rank, size = _number(environment, "SLURM_PROCID"), _number(environment, "SLURM_STEP_NUM_TASKS")
    nodes = _number(environment, "SLURM_STEP_NUM_NODES", 1)
    even = -(-size // nodes)
    node = _number(environment, "SLURM_NODEID", rank // even)
    counts = tasks_of_nodes(environment.get("SLURM_STEP_TASKS_PER_NODE", ""))
    local_size = counts[node] if node < len(counts) else even
    local_rank = _number(environment, "SLURM_LOCALID", rank % local_size)
    return _checked(rank, local_rank, size, local_size, node, nodes, "Slurm")


def tasks_of_nodes(text: str) -> list[int]:
    """How many processes Slurm starts on each machine.

    >>> tasks_of_nodes("2(x3),1")
    [2, 2, 2, 1]
    """
    return [
        int(tasks)
        for tasks, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", text)
        for _ in range(int(times or 1))
    ]


def _checked(
    rank: int, local_rank: int, size: int, local_size: int, node: int, nodes: int, started_by: str
) -> World:
    if not (0 <= rank < size and 0 <= local_rank < local_size):
        raise UsageError(
            f"{started_by} says that this is process {rank} of {size} ({local_rank} of {local_size} on its "
            "machine), which cannot be",
            hint="Unset RANK, LOCAL_RANK and WORLD_SIZE to train in one process.",
        )
    return World(
        rank=rank,
        local_rank=local_rank,
        size=size,
        local_size=local_size,
        node=node,
        nodes=nodes,
        started_by=started_by,
    )


def _number(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environment.get(name)
    if text is None and default is not None:
        return default
    if text is None or not text.strip().isdecimal():
        raise UsageError(f"{name}={text!r} in the environment: expected a whole number")
    return int(text)


def meeting_point(environment: Mapping[str, str] | None = None) -> tuple[str, int]:
    """Address and port at which the processes that ``srun`` started meet: the first of their machines.

    ``MASTER_ADDR`` and ``MASTER_PORT`` win. A port is made from the numbers of job and step, so that those
    which share a machine do not meet.

    >>> meeting_point({"SLURM_STEP_NODELIST": "gpu[07-09,12],big3", "SLURM_JOB_ID": "123456"})
    ('gpu07', 18456)
    """
    environment = os.environ if environment is None else environment
    machines = environment.get("SLURM_STEP_NODELIST") or "127.0.0.1"
    first = re.match(r"([^,\[]+)(?:\[(\d+))?", machines)
    assert first is not None
    address = environment.get("MASTER_ADDR") or first[1] + (first[2] or "")
    job, step = (int(environment.get(name) or 0) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    return address, int(environment.get("MASTER_PORT") or 15000 + (job + 1009 * step) % 5000)


def restarted() -> bool:
    """Whether an elastic agent started this process anew, after one before it ended badly."""
    return attempt() > 0


def attempt() -> int:
    """How often an elastic agent has started the processes anew."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") or 0)


def end_with_agent() -> None:
    """Have this process sent SIGTERM when our agent, which started it, is killed: nobody else would end it.

    On Linux; elsewhere it trains on to its end.
    """
    agent = os.environ.get(AGENT, "")
    if not (agent.isdecimal() and sys.platform.startswith("linux")):
        return
    if os.getppid() == int(agent):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(agent) and not Path("/proc", agent).exists():  # killed before that
        os.kill(os.getpid(), signal.SIGTERM)


def job_started_at() -> float:
    """When the job of this process began, in seconds since 1970; older checkpoints are not its.

    Its agent says so where that is ours; otherwise the age of the process that started this one does.
    """
    if JOB_STARTED in os.environ:
        return float(os.environ[JOB_STARTED])

    psutil: Any = import_module("psutil")  # ships no types
    agent = psutil.Process(os.getpid()).parent()
    return time.time() if agent is None else float(agent.create_time())
