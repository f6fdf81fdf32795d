"""A Slurm cluster of two machines, which are both this one: its controller, a daemon for each, and munge."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.machines import ROOT, environment

NODES = ("lifecycle-1", "lifecycle-2")
PROGRAMS = ("mount", "munged", "slurmctld", "slurmd", "srun", "sbatch", "scancel", "sinfo")
_CONF = """\
ClusterName=lifecycle
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SlurmctldPort=16817
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdSpoolDir={folder}/spool-%n
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ReturnToService=2
NodeName={nodes[0]} NodeHostname={host} NodeAddr=127.0.0.1 Port=16818 CPUs=2
NodeName={nodes[1]} NodeHostname={host} NodeAddr=127.0.0.1 Port=16819 CPUs=2
PartitionName=all Nodes=ALL Default=YES State=UP
"""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A running one.

    Attributes:
        folder: Of its daemons.
    """

    folder: Path

    def start(self, *command: str, **more: str) -> subprocess.Popen[str]:
        """Start srun, sbatch, …"""
        variables = environment(SLURM_CONF=str(self.folder / "slurm.conf"), **more)
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=variables, cwd=ROOT
        )

    def run(self, *command: str, **more: str) -> tuple[int, str]:
        """The exit code, and what was written."""
        process = self.start(*command, **more)
        said, _ = process.communicate(timeout=300)
        return process.returncode, said


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """A cluster with its daemons below a folder that all may look into; they end with the block.

    The names of its machines are known where this process sees files of its own alone (a mount namespace).
    """
    host = socket.gethostname().partition(".")[0]
    (folder / "state").mkdir(parents=True)
    (folder / "slurm.conf").write_text(_CONF.format(host=host, folder=folder, nodes=NODES))
    names = folder / "hosts"
    names.write_text(Path("/etc/hosts").read_text() + f"127.0.0.1 {' '.join(NODES)}\n")
    subprocess.run(["mount", "--bind", names, "/etc/hosts"], check=True)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    variables = environment(SLURM_CONF=str(folder / "slurm.conf"))
    places = [f"--key-file={key}", f"--socket={folder}/munge.socket", f"--pid-file={folder}/munged.pid"]
    places += [f"--log-file={folder}/munged.log", f"--seed-file={folder}/munged.seed"]
    commands = [
        ["munged", "--foreground", "--force", *places],
        ["slurmctld", "-D"],
        *(["slurmd", "-D", "-N", node] for node in NODES),
    ]
    daemons = []
    try:
        for command in commands:
            program = shutil.which(command[0], path=f"/usr/sbin:{os.environ['PATH']}") or command[0]
            with (folder / "daemons.log").open("ab") as log:
                daemons.append(
                    subprocess.Popen([program, *command[1:]], stdout=log, stderr=log, env=variables)
                )
            time.sleep(1)
        found = Cluster(folder=folder)
        deadline = time.monotonic() + 60
        while (said := found.run("sinfo", "--noheader", "--format=%D %t")[1]).strip() != "2 idle":
            assert time.monotonic() < deadline, said + (folder / "daemons.log").read_text()
            time.sleep(0.5)
        yield found
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait(60)
        subprocess.run(["umount", "/etc/hosts"], check=True)
