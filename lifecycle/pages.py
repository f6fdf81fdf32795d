"""MLflow's own server on one store, on this machine alone, for as long as somebody looks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from lifecycle.core.errors import LifecycleError
from lifecycle.core.ports import free_port

HOST = "127.0.0.1"
_PATIENCE_S = 180.0  # MLflow imports a great deal first


def open_pages(store: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        store: Address of the database.
        port: To listen on; 0 for any free one.
        ready: Called with the address once it answers.

    Raises:
        UsageError: the port is taken.
        LifecycleError: the server ended by itself, or did not answer; says what it said last.
    """
    url = f"http://{HOST}:{(number := free_port(HOST, port))}"
    stop = threading.Event()
    with _stopped_by_signals(stop), tempfile.TemporaryDirectory(prefix="lifecycle-ui-") as folder:
        log = Path(folder) / "log"
        with log.open("wb") as said, _server(store, number, said.fileno()) as process:
            deadline = time.monotonic() + _PATIENCE_S
            while not stop.is_set() and not _answers(url):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise LifecycleError(f"MLflow's server does not answer at {url}:\n{_tail(log)}")
                stop.wait(0.1)
            if not stop.is_set():
                ready(url)
            while not stop.wait(0.2):
                if process.poll() is not None:
                    raise LifecycleError(f"MLflow's server has ended:\n{_tail(log)}")


@contextmanager
def _server(store: str, port: int, log: int) -> Iterator[subprocess.Popen[bytes]]:
    words = ["server", "--backend-store-uri", store, "--host", HOST, "--port", str(port), "--workers", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", *words],
        stdout=log,
        stderr=log,
        start_new_session=True,  # a Ctrl-C is ours to pass on
        env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
    )
    try:
        yield process
    finally:
        _end(process, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            _end(process, signal.SIGKILL)
            process.wait()


def _end(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it has ended, and its workers with it
        os.killpg(process.pid, number)


@contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """Ctrl-C is how this ends: no error, and nothing to be gone on with."""
    before = {
        number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _answers(url: str) -> bool:
    try:
        with urlopen(f"{url}/health", timeout=1):
            return True
    except (URLError, OSError):
        return False


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-10:])
