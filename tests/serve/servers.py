"""Real server processes, started as a command line would start them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

from lifecycle.connection import users_environment
from lifecycle.serve.settings import Settings

Found = TypeVar("Found")

_START = (
    "from lifecycle.serve.process import run_server; from lifecycle.serve.settings import Settings; "
    "run_server(Settings.from_environment())"
)
_DEADLINE_S = 150.0

# A module that leaves a trace when it is imported, whoever catches the error.
_TORCH = """
from pathlib import Path
Path(__file__).with_name("imported").touch()
raise ImportError("torch was imported")
"""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A started server.

    Attributes:
        process: The supervisor.
        folder: Holds what the server may write to (``home``, ``cwd``, ``tmp``), its stdout and stderr, and
            a trap for whoever imports torch.
    """

    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def stderr(self) -> str:
        """What it wrote so far."""
        return (self.folder / "stderr").read_text()

    @property
    def stdout(self) -> str:
        """What it wrote so far."""
        return (self.folder / "stdout").read_text()

    @property
    def torch_was_imported(self) -> bool:
        """Whether any of its processes tried to."""
        return (self.folder / "path" / "imported").exists()

    def url(self) -> str:
        """The address that it announces, as soon as it does."""
        return self.wait_for(lambda: re.search(r"serving .* at (http://\S+)", self.stderr)).group(1)

    def wait_for(self, look: Callable[[], Found | None]) -> Found:
        """What `look` finds, as soon as it does; the server must not end meanwhile."""
        deadline = time.monotonic() + _DEADLINE_S
        while (found := look()) is None:
            assert time.monotonic() < deadline, f"waited in vain; stderr:\n{self.stderr}"
            assert self.process.poll() is None, f"the server ended; stderr:\n{self.stderr}"
            time.sleep(0.02)
        return found

    def workers(self) -> list[psutil.Process]:
        """Its child processes."""
        return list(psutil.Process(self.process.pid).children(recursive=True))

    def wait(self) -> int:
        """The exit code."""
        return self.process.wait(_DEADLINE_S)


@contextmanager
def started(settings: Settings, folder: Path, **variables: str) -> Iterator[Server]:
    """A server, and at the end none of its processes; `variables` are added to its environment."""
    for name in ("home", "cwd", "tmp", "path"):
        (folder / name).mkdir(parents=True)
    (folder / "path" / "torch.py").write_text(_TORCH)
    path = os.pathsep.join([str(folder / "path"), *filter(None, [os.environ.get("PYTHONPATH")])])
    places = {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp"), "PYTHONPATH": path}
    environment = {
        **users_environment(),
        **places,
        **settings.to_environment(),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for name in (
        "BENTOML_HOME",
        "BENTOML_DO_NOT_TRACK",
        "ORT_DISABLE_TELEMETRY",
    ):  # how they are set is the server's own affair
        environment.pop(name, None)
    environment |= variables
    with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-c", _START],
            cwd=folder / "cwd",
            env=environment,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    server = Server(process=process, folder=folder)
    try:
        yield server
    finally:
        _end(server)


def _end(server: Server) -> None:
    if server.process.poll() is not None:
        return
    processes = [psutil.Process(server.process.pid), *server.workers()]
    server.process.terminate()
    _, alive = psutil.wait_procs(processes[1:], timeout=_DEADLINE_S)
    for process in alive:
        process.kill()
    assert not alive, f"workers outlived the supervisor: {alive}"
    server.wait()
