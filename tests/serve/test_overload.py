"""More than a server manages: what it takes in it answers, the rest is told so at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx

from tests.serve.bundles import slow_bundle
from tests.serve.overload import DEADLINE_MS, ask, settings
from tests.serve.servers import started


def test_what_cannot_be_answered_in_time_is_told_to_come_back(tmp_path: Path) -> None:
    bundle = slow_bundle(tmp_path / "bundle").path
    with started(settings(bundle), tmp_path / "server") as server:
        url = server.url()
        flood = asyncio.run(ask(url, rate=None, seconds=2, connections=64))
        assert set(flood.statuses) == {200, 429}
        assert flood.no_retry_after == 0
        calm = asyncio.run(ask(url, rate=None, seconds=0.5, connections=1))
        assert set(calm.statuses) == {200}
        (stats,) = httpx.get(f"{url}/v2/models/stats", timeout=30).json()["model_stats"]
    kinds = stats["inference_stats"]
    assert kinds["success"]["count"] == flood.statuses[200] + calm.statuses[200]
    assert kinds["fail"]["count"] == flood.statuses[429]
    assert stats["execution_count"] < kinds["success"]["count"]  # batches, and nothing for who was refused
    # No clock of ours: by its own account the server begins nothing whose deadline has passed.
    assert kinds["queue"]["ns"] / kinds["queue"]["count"] <= DEADLINE_MS * 1e6
