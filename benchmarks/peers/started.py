"""A server of each kind, on a core of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from lifecycle.serve.process import free_port

from .cases import BENTOML, FASTAPI, OURS, OURS_AS_JSON, STARLETTE, Case, write_body, write_model
from .session import BUNDLE

ROOT = Path(__file__).resolve().parents[2]
INFER = "/v2/models/model/infer"


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that listens.

    Attributes:
        process: The first of its processes.
        url: Where inference is asked for.
        body: What to send.
        json_size: Where the JSON in it ends, for binary requests.
    """

    process: psutil.Process
    url: str
    body: Path
    json_size: int | None = None

    def cpu_s(self) -> float:
        """Processor seconds of all its processes so far."""
        times = [one.cpu_times() for one in (self.process, *self.process.children(recursive=True))]
        return sum(time.user + time.system for time in times)


@contextmanager
def started(name: str, case: Case, folder: Path, core: int) -> Iterator[Server]:
    """A server on one core that answered once."""
    bundle = folder / "model" / "bundle"
    if not bundle.exists():
        write_model(case.shape, bundle)
    port = free_port("127.0.0.1", 0)
    body, json_size = write_body(name, case, folder)
    home = folder / "home"
    home.mkdir(exist_ok=True)
    environment = {
        **os.environ, BUNDLE: str(bundle), "PYTHONPATH": str(ROOT), "BENTOML_HOME": str(home),
        "BENTOML_DO_NOT_TRACK": "True", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *command_of(name, bundle, port)],
            cwd=folder, env=environment, stdout=log, stderr=log,
        )  # fmt: skip
    path = "/infer" if name == BENTOML else INFER
    url = f"http://127.0.0.1:{port}{path}"
    server = Server(process=psutil.Process(process.pid), url=url, body=body, json_size=json_size)
    try:
        wait_for(server, process, folder / f"{name}.log")
        yield server
    finally:
        process.terminate()
        process.wait(60)


def command_of(name: str, bundle: Path, port: int) -> list[str]:
    """How it is started."""
    scripts = Path(sys.executable).parent
    if name in (OURS, OURS_AS_JSON):
        serve = [str(scripts / "lifecycle"), "serve", str(bundle), "--workers", "1"]
        return [*serve, "--port", str(port)]
    if name == BENTOML:
        serve = [str(scripts / "bentoml"), "serve", "benchmarks.peers.with_bentoml:Peer", "--quiet"]
        return [*serve, "--host", "127.0.0.1", "--port", str(port), "--working-dir", str(ROOT)]
    module = {FASTAPI: "with_fastapi", STARLETTE: "with_starlette"}[name]
    return [sys.executable, "-m", f"benchmarks.peers.{module}", str(port)]


def wait_for(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return once it answers."""
    headers = {"Content-Type": "application/json"}
    if server.json_size is not None:
        headers = {
            "Content-Type": "application/octet-stream",
            "Inference-Header-Content-Length": str(server.json_size),
        }
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(
                urllib.request.Request(server.url, server.body.read_bytes(), headers), timeout=10
            ).read()
            return
        except OSError as error:
            if time.monotonic() > deadline or process.poll() is not None:
                raise SystemExit(f"{server.url} does not answer ({error}):\n{log.read_text()}") from None
            time.sleep(0.2)
