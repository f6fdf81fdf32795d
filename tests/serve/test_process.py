"""Starting and ending: exit codes, signals, leftovers."""

from __future__ import annotations

import signal
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from lifecycle.core.artifact import Artifact
from lifecycle.core.errors import UsageError
from lifecycle.core.ports import free_port
from lifecycle.serve.process import run_server
from lifecycle.serve.settings import ServedModel, Settings
from tests.serve.bundles import digits_bundle
from tests.serve.servers import started


def settings(bundle: Path, port: int = 0) -> Settings:
    model = ServedModel(name="digits", version="3", bundle=bundle)
    return Settings(models=(model,), port=port, workers=1, threads=1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_once_accepted_requests_are_answered(
    digits: Artifact, tmp_path: Path, number: signal.Signals
) -> None:
    """The handler waits for the body when the signal comes; the body follows."""
    body = b'{"rows": [' + str([0] * 64).encode() + b"]}"
    head = (
        "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
    )
    with started(settings(digits.path), tmp_path / "server") as server:
        address = httpx.URL(server.url())
        workers = server.workers()
        with socket.create_connection((address.host, address.port or 0), timeout=30) as connection:
            connection.sendall(head.encode())
            assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
            server.process.send_signal(number)
            server.wait_for(lambda: _stopped_listening(workers))
            connection.sendall(body)
            answer = connection.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b'"model_version":"3"' in answer
        assert server.wait() == 0
        assert not any(psutil.pid_exists(worker.pid) for worker in workers)
        assert server.stderr.splitlines()[1:] == ["lifecycle serve: stopped serving digits version 3"]
        assert list((tmp_path / "server" / "tmp").iterdir()) == []


def _stopped_listening(workers: list[psutil.Process]) -> bool | None:
    open_ports = [one for worker in workers for one in worker.net_connections() if one.status == "LISTEN"]
    return None if open_ports else True


def test_a_worker_does_not_outlive_a_supervisor_that_was_killed(digits: Artifact, tmp_path: Path) -> None:
    with started(settings(digits.path), tmp_path / "server", BENTOML_VERBOSITY="0") as server:
        server.url()
        workers = server.workers()
        assert len(workers) == 1
        assert "Starting production HTTP BentoServer" in server.stderr  # asked for, and not on stdout
        assert server.stdout == ""
        server.process.kill()
        server.wait()
        gone, alive = psutil.wait_procs(workers, timeout=60)
        for worker in alive:
            worker.kill()
        assert gone == workers
        assert "the supervisor is gone; stopping" in server.stderr


def test_a_bundle_that_cannot_be_served_ends_it_with_the_reason(tmp_path: Path) -> None:
    digits_bundle(tmp_path / "bundle")
    with (tmp_path / "bundle/model.onnx").open("ab") as file:
        file.write(b"x")
    with started(settings(tmp_path / "bundle"), tmp_path / "server") as server:
        assert server.wait() == 1
    assert server.stderr.splitlines() == [
        f"lifecycle serve: artifact {tmp_path / 'bundle'} was altered: model.onnx differs from its SHA-256",
        "Run the pipeline again to rebuild it, or restore the folder from a copy.",
    ]
    assert list((tmp_path / "server" / "tmp").iterdir()) == []


def test_a_port_that_is_taken_is_refused_before_anything_starts(digits: Artifact) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError) as caught:
            run_server(settings(digits.path, port))
    assert str(caught.value) == (
        f"cannot listen on 127.0.0.1 port {port}: Address already in use\n"
        "Choose another port, or 0 for any free one."
    )


def test_port_0_is_any_free_one() -> None:
    port = free_port("127.0.0.1", 0)
    assert 1024 <= port <= 65535
    assert free_port("127.0.0.1", port) == port


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"api_keys": Path("nowhere")}, "the API keys of nowhere cannot be read: No such file or directory"),
        ({"tracing": True}, "tracing: no exporter 'otlp_proto_http' is installed"),
    ],
)
def test_what_cannot_be_kept_is_said_before_anything_is_started(
    digits: Artifact, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        run_server(replace(settings(digits.path), **options))
