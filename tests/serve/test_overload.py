"""More than a server manages: what it takes in it answers, the rest is told so at once."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import httpx

from lifecycle.serve.settings import ServedModel, Settings
from tests.serve.bundles import slow_bundle
from tests.serve.overload import DEADLINE_MS, LAYERS, PATH, ask, settings
from tests.serve.servers import started


def test_what_cannot_be_answered_in_time_is_told_to_come_back(tmp_path: Path) -> None:
    bundle = slow_bundle(tmp_path / "bundle", LAYERS).path
    with started(settings(bundle), tmp_path / "server") as server:
        url = server.url()
        flood = asyncio.run(ask(url, rate=None, seconds=2, connections=64))
        assert set(flood.statuses) == {200, 429}
        assert flood.no_retry_after == 0
        calm = asyncio.run(ask(url, rate=None, seconds=0.5, connections=1))
        assert calm.statuses[200] > 0
        (stats,) = httpx.get(f"{url}/v2/models/stats", timeout=30).json()["model_stats"]
    kinds = stats["inference_stats"]
    assert kinds["success"]["count"] == flood.statuses[200] + calm.statuses[200]
    assert kinds["fail"]["count"] == flood.statuses[429] + calm.statuses[429]
    assert stats["execution_count"] < kinds["success"]["count"]  # batches, and nothing for who was refused
    # No clock of ours: by its own account the server begins nothing whose deadline has passed.
    assert kinds["queue"]["ns"] / kinds["queue"]["count"] <= DEADLINE_MS * 1e6


def test_what_a_client_no_longer_waits_for_is_not_computed(tmp_path: Path) -> None:
    """Forty requests come and their connections go: the server notices while it computes the first of them."""
    bundle = slow_bundle(tmp_path / "bundle", layers=800).path
    models = (ServedModel(name="slow", version="1", bundle=bundle),)
    patient = Settings(models=models, port=0, workers=1, threads=1, batch_size=1, deadline_ms=60_000)
    content = {"inputs": [{"name": "x", "shape": [1, 512], "datatype": "FP32", "data": [0] * 512}]}
    with (
        started(patient, tmp_path / "server") as server,
        httpx.Client(base_url=server.url(), timeout=60) as client,
    ):
        address = (client.base_url.host, client.base_url.port or 0)
        body = json.dumps(content)
        head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        connections = [socket.create_connection(address) for _ in range(40)]
        for connection in connections:
            connection.sendall((head + body).encode())
        for connection in connections:
            connection.close()
        assert client.post(PATH, json=content).status_code == 200
        (stats,) = client.get("/v2/models/stats").json()["model_stats"]
    assert stats["execution_count"] < 20
    assert stats["inference_stats"]["fail"]["count"] > 20
