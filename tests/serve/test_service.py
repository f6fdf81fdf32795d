"""A live worker: what it loads and what it leaves."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.serve.servers import Server


def test_the_worker_never_loads_torch(client: httpx.Client, server: Server) -> None:
    """Nobody so much as tried to import it, and no library of its is mapped, after an answer was given."""
    assert client.post("/predict", json=[[0] * 64]).status_code == 200
    (worker,) = server.workers()
    maps = Path(f"/proc/{worker.pid}/maps").read_text()
    assert "onnxruntime" in maps
    assert "libtorch" not in maps
    assert not server.torch_was_imported


def test_nothing_is_written_outside_the_servers_own_folder(server: Server) -> None:
    assert list((server.folder / "home").rglob("*")) == []
    assert list((server.folder / "cwd").rglob("*")) == []
    assert [path.name.rpartition("-")[0] for path in (server.folder / "tmp").iterdir()] == ["lifecycle-serve"]


def test_the_log_names_what_is_served_where_by_how_many_threads(server: Server) -> None:
    first = server.stderr.splitlines()[0]
    assert first.startswith("lifecycle serve: serving digits version 3 at http://127.0.0.1:")
    assert first.endswith("ONNX Runtime threads: 2)")
    assert server.stdout == ""


def test_nobody_is_told_what_is_served(server: Server) -> None:
    """BentoML and ONNX Runtime both report to their makers unless they are told not to."""
    (worker,) = server.workers()
    assert worker.environ()["BENTOML_DO_NOT_TRACK"] == "True"
    assert worker.environ()["ORT_DISABLE_TELEMETRY"] == "1"
