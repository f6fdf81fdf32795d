"""``python -m tests.cluster``: trains on two machines that are not there, by torchrun and by Slurm.

For torchrun a machine is a network namespace (root, iproute2); for Slurm a daemon of its own (munge, slurm-wlm). One
script trains on each, and has to end in the bits of two processes on one machine. What differs from real machines is
said: both have one clock and one file system, and nothing is lost on the way.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cluster.machines import ROOT, SCRIPT, Machine, environment, machines
from tests.cluster.slurm import NODES, PROGRAMS, Cluster, cluster

SPACE = "LIFECYCLE_CLUSTER_SPACE"  # set where this process has mounts of its own
SLOW = {"STEP_S": "0.2"}
# Without it an agent of torch 2.13 that comes anew waits in vain for an address that was told before it came.
REPLACED = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}


def say(text: str) -> None:
    print(f"  {text}", flush=True)


def read(file: Path) -> Any:
    return json.loads(file.read_text())


def wait_for(look: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 120
    while not look():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)


def fresh(folder: Path) -> Path:
    folder.mkdir()
    return folder


def check_ended(folder: Path, wanted: Any, *, prepared: int) -> None:
    """The bits of one machine, a process on each of two, and data prepared on each."""
    assert read(folder / "ended.json") == wanted
    ranks = [read(folder / f"rank-{rank}.json") for rank in (0, 1)]
    assert [(each["rank"], each["node"], each["local_rank"]) for each in ranks] == [(0, 0, 0), (1, 1, 0)]
    assert {(each["size"], each["nodes"], each["local_size"]) for each in ranks} == {(2, 2, 1)}
    assert len(list(folder.glob("prepared-*"))) == prepared


# torchrun


def agents(both: list[Machine], folder: Path, which: tuple[int, ...] = (0, 1), **more: str) -> list[Any]:
    """An agent on each machine, which meet at the first."""
    words = ["--nnodes=2", "--nproc-per-node=1", "--max-restarts=3", "--rdzv-backend=c10d", "--rdzv-id=job"]
    words += [f"--rdzv-endpoint={both[0].address}:29511"]
    script = ["-m", "tests.cluster.script", str(folder), "{}"]
    # Where addresses have no names, an agent cannot tell whether the endpoint is its own.
    own = [[f"--local-addr={each.address}", f"--rdzv-conf=is_host={each is both[0]}"] for each in both]
    torchrun = [sys.executable, "-m", "torch.distributed.run", *words]
    return [both[at].start([*torchrun, *own[at], *script], folder / f"{at}.log", **more) for at in which]


def ended(processes: list[Any], folder: Path) -> None:
    said = [process.wait(300) for process in processes]
    assert said == [0] * len(said), "".join(file.read_text()[-3000:] for file in folder.glob("*.log"))


def by_torchrun(folder: Path, wanted: Any) -> None:
    """Once undisturbed; once with the second machine lost in the middle, and back."""
    with machines() as both:
        place = fresh(folder / "torchrun")
        ended(agents(both, place), place)
        check_ended(place, wanted, prepared=2)
        say("torchrun on two machines ends in the bits of one, with data prepared on each")

        place = fresh(folder / "lost")
        first, second = agents(both, place, **SLOW, **REPLACED)
        wait_for(lambda: list((place / "kept").glob("*step=5*")), "the fifth step")
        lost = [second.pid, *_below(second.pid)]
        for pid in lost:
            os.kill(pid, signal.SIGKILL)
        second.wait()
        say("the second machine was lost in the middle: agent and process killed")
        time.sleep(3)
        again = agents(both, place, (1,), **SLOW, **REPLACED)
        ended([first, *again], place)
        assert read(place / "ended.json") == wanted
        say("it came back, and the job ended in the same bits")


def _below(pid: int) -> list[int]:
    said = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout
    children = [int(word) for word in said.split()]
    return [*children, *(one for child in children for one in _below(child))]


# Slurm


def by_slurm(folder: Path, wanted: Any) -> None:
    """Once undisturbed; interrupted and resumed; failing; in a batch script, with srun and without."""
    with cluster(folder / "slurm") as found:
        spread = ["srun", "--nodes=2", "--ntasks-per-node=1"]
        place = fresh(folder / "srun")
        code, said = found.run(*spread, *SCRIPT, str(place), "{}")
        assert code == 0, said
        check_ended(place, wanted, prepared=2)
        say("srun on two machines ends in the bits of one, with data prepared on each")
        _interrupted(found, fresh(folder / "scancel"), spread, wanted)

        place = fresh(folder / "cursed")
        began = time.monotonic()
        code, said = found.run(*spread, *SCRIPT, str(place), "{}", CURSED="1")
        assert code != 0 and "ArithmeticError: this batch is cursed" in said, said
        say(f"a process that fails ends the job, in {time.monotonic() - began:.0f} s, with its traceback")
        _batch(found, fresh(folder / "batch"), wanted)


def _interrupted(found: Cluster, place: Path, spread: list[str], wanted: Any) -> None:
    running = found.start(*spread, "--job-name=slow", *SCRIPT, str(place), "{}", **SLOW)
    wait_for(lambda: list((place / "kept").glob("*step=5*")), "the fifth step")
    found.run("scancel", "--name=slow", "--signal=TERM")
    said, _ = running.communicate(timeout=120)
    assert running.returncode == 143, said
    assert (place / "kept" / "interrupted.ckpt").is_file() and not (place / "ended.json").exists()
    code, said = found.run(*spread, *SCRIPT, str(place), "{}", "last")
    assert code == 0 and read(place / "ended.json") == wanted, said
    say("scancel --signal=TERM: 143 and interrupted.ckpt, from which the next job ends in the same bits")


def _batch(found: Cluster, place: Path, wanted: Any) -> None:
    for name in ("alone", "both", "second"):
        fresh(place / name)
    train = " ".join(SCRIPT)
    script = place / "job.sh"
    script.write_text(
        f"#!/bin/bash\n{train} {place}/alone {{}}\nsrun {train} {place}/both {{}}\n"
        f"srun --nodes=1 --ntasks=2 --ntasks-per-node=2 --overcommit --nodelist={NODES[1]} "
        f"{train} {place}/second {{}}\n"
    )
    log = place / "log"
    sbatch = ["sbatch", "--wait", "--nodes=2", "--ntasks-per-node=1", f"--output={log}", str(script)]
    code, said = found.run(*sbatch)
    assert code == 0, said + log.read_text()
    assert read(place / "alone" / "ended.json")["world"] == 1
    assert (
        "trains alone: the Slurm job has 2 tasks, and `srun python …` starts one in each" in log.read_text()
    )
    check_ended(place / "both", wanted, prepared=2)
    assert read(place / "second" / "ended.json") == wanted
    ranks = [read(place / "second" / f"rank-{rank}.json") for rank in (0, 1)]
    assert [(each["node"], each["local_rank"], each["local_size"]) for each in ranks] == [
        (0, 0, 2),
        (0, 1, 2),
    ]
    say(
        "a batch script trains alone without srun, and says so; with it on both machines, and twice on the second"
    )


CHECKS = {"torchrun": (by_torchrun, ("ip", "ps")), "slurm": (by_slurm, PROGRAMS)}


def missing(programs: tuple[str, ...]) -> list[str]:
    """What this machine lacks."""
    path = f"/usr/sbin:{os.environ['PATH']}"
    lacking = [name for name in programs if shutil.which(name, path=path) is None]
    return lacking if os.geteuid() == 0 else ["root", *lacking]


def main() -> int:
    """Check; 0 if all is as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument("checks", nargs="*", help="of torchrun and slurm; both by default")
    checks = parser.parse_args().checks or list(CHECKS)
    if os.geteuid() == 0 and SPACE not in os.environ and shutil.which("unshare"):
        again = [sys.executable, "-m", "tests.cluster", *checks]
        os.execvpe("unshare", ["unshare", "--mount", *again], {**os.environ, SPACE: "1"})
    status = 0
    with tempfile.TemporaryDirectory(prefix="lifecycle-cluster-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        place = fresh(folder / "one-machine")
        command = [*SCRIPT, str(place), '{"devices": 2}']
        subprocess.run(command, env=environment(), cwd=ROOT, check=True)
        wanted = read(place / "ended.json")
        assert (wanted["world"], wanted["step"]) == (2, 18)
        say("two processes on one machine: what the others are compared with")
        for check in checks:
            run, programs = CHECKS[check]
            if lacking := missing(programs):
                say(f"{check}: not executed, as this needs {', '.join(lacking)}")
                status = 1
            else:
                run(folder, wanted)
    return status


if __name__ == "__main__":
    sys.exit(main())
