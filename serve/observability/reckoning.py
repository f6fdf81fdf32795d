"""Statistics of the whole server: this worker's, and what the others wrote down."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from lifecycle.core.canonical import JSON
from lifecycle.serve.batching.statistics import merged
from lifecycle.serve.dataplane import DataPlane
from lifecycle.serve.endpoint import Endpoint
from lifecycle.serve.observability.board import Board
from lifecycle.serve.protocol import oip

PERIOD_S = 0.5


class Reckoning:
    """Adds up what all workers did.

    Args:
        plane: Of this worker.
        folder: Shared by all workers; None where there is one.
    """

    def __init__(self, plane: DataPlane, folder: Path | None = None) -> None:
        self._plane = plane
        self._board = Board(folder) if folder else None

    def statistics(self, endpoint: Endpoint) -> dict[str, JSON]:
        """An entry of the protocol's answer; other workers' part is at most `PERIOD_S` old."""
        counted = endpoint.batcher.statistics.to_json()
        if self._board is not None:
            key = _key(endpoint)
            others = [content[key] for content in self._board.others() if key in content]
            counted = merged([counted, *cast("list[dict[str, JSON]]", others)])
        return oip.model_statistics(endpoint, counted)

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """While this is entered the other workers are told."""
        task = asyncio.create_task(self._share())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _share(self) -> None:
        while self._board is not None:
            endpoints = self._plane.models.values()
            self._board.write({_key(one): one.batcher.statistics.to_json() for one in endpoints})
            await asyncio.sleep(PERIOD_S)


def _key(endpoint: Endpoint) -> str:
    return f"{endpoint.name}/{endpoint.version}"
