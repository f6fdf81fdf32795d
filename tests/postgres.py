"""A PostgreSQL server and an MLflow server on it, both of the tests' own and on loopback only."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

USER = "mlflow"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def postgres() -> Iterator[str]:
    """Its address. The server refuses root, so the package's own user runs it where root tests."""
    [*_, binaries] = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="lifecycle-postgres-"))
    if user is not None:
        shutil.chown(folder, user)
    data, port = folder / "data", free_port()
    subprocess.run(
        [binaries / "initdb", "-D", data, "-U", USER, "-A", "trust", "--no-sync"],
        check=True,
        capture_output=True,
        user=user,
        cwd=folder,
    )
    options = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": folder,
        "fsync": "off",
    }
    words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [binaries / "postgres", "-D", data, *words], user=user, cwd=folder, stdout=log, stderr=log
        )
    try:
        ready = [binaries / "pg_isready", "-h", "127.0.0.1", "-p", str(port), "-U", USER]
        deadline = time.monotonic() + 150
        while subprocess.run(ready, capture_output=True, check=False).returncode:
            assert server.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.1)
        yield f"postgresql+psycopg2://{USER}@127.0.0.1:{port}/postgres"
    finally:
        server.terminate()
        server.wait(timeout=60)
        shutil.rmtree(folder)


@contextmanager
def mlflow_server(
    store: str, folder: Path, *, port: int | None = None, auth: Mapping[str, str] | None = None
) -> Iterator[str]:
    """The address of a tracking server with its registry in a database, and its files in a folder.

    With `auth`, environment variables of its own, it asks who you are.
    """
    port = port or free_port()
    words = ["--app-name", "basic-auth"] if auth else []
    words += ["--backend-store-uri", store, "--artifacts-destination", str(folder / "artifacts")]
    words += ["--host", "127.0.0.1", "--port", str(port), "--workers", "2"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *words],
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **(auth or {})},
        )
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 120
        while not _healthy(url):
            assert server.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.2)
        yield url
    finally:
        os.killpg(server.pid, 15)
        server.wait(timeout=60)


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
