"""Two machines that are none: network namespaces with an address and a cable between them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = str(Path(__file__).parents[2])
NAMES = ("lifecycle-one", "lifecycle-two")
SCRIPT = [sys.executable, "-m", "tests.cluster.script"]


def environment(**more: str) -> dict[str, str]:
    """That of a process of the checks: one thread, and this tree."""
    known = {
        name: value for name, value in os.environ.items() if name not in ("PL_GLOBAL_SEED", "MASTER_PORT")
    }
    return known | {"PYTHONPATH": ROOT, "OMP_NUM_THREADS": "1"} | more


@dataclass(frozen=True, kw_only=True)
class Machine:
    """One of them.

    Attributes:
        name: Of its namespace.
        address: At which the other one sees it.
    """

    name: str
    address: str

    def start(self, command: Sequence[str], log: Path, **more: str) -> subprocess.Popen[bytes]:
        """Run something on it, as the leader of a group of processes."""
        whole = ["ip", "netns", "exec", self.name, *command]
        variables = environment(GLOO_SOCKET_IFNAME="cable", MACHINE=self.name, **more)
        with log.open("ab") as out:
            return subprocess.Popen(
                whole, stdout=out, stderr=out, env=variables, cwd=ROOT, start_new_session=True
            )


@contextmanager
def machines() -> Iterator[list[Machine]]:
    """Both; nothing is left of them afterwards."""
    with ExitStack() as ends:
        for name in NAMES:
            _ip("netns", "add", name)
            ends.callback(_ip, "netns", "delete", name)
        _ip("link", "add", "cable", "netns", NAMES[0], "type", "veth", "peer", "cable", "netns", NAMES[1])
        found = [Machine(name=name, address=f"10.213.7.{at}") for at, name in enumerate(NAMES, 1)]
        for each in found:
            _ip("-n", each.name, "address", "add", f"{each.address}/24", "dev", "cable")
            for link in ("lo", "cable"):
                _ip("-n", each.name, "link", "set", link, "up")
        yield found


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
