"""One process that answers: what it is made of, and its life."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.serve.access.cors import allow_origins
from lifecycle.serve.access.gate import Gate
from lifecycle.serve.access.hosts import Hosts
from lifecycle.serve.access.keys import read_keys
from lifecycle.serve.batching.listener import Listener
from lifecycle.serve.batching.options import Batching
from lifecycle.serve.body import BodyLimits
from lifecycle.serve.dataplane import DataPlane
from lifecycle.serve.endpoint import Endpoint, open_endpoint
from lifecycle.serve.following.following import Following
from lifecycle.serve.observability.access_log import AccessLog, write_to_stderr
from lifecycle.serve.observability.cells import Cells
from lifecycle.serve.observability.exposition import expose
from lifecycle.serve.observability.meter import MeteredModel
from lifecycle.serve.observability.metrics import CELLS, Metrics
from lifecycle.serve.observability.observed import Observed
from lifecycle.serve.observability.reckoning import Reckoning
from lifecycle.serve.observability.tracing import Traced, open_provider
from lifecycle.serve.processes.leaving import Leaving
from lifecycle.serve.processes.share import Share, share_cores
from lifecycle.serve.processes.worker import report_failure, running, watch_supervisor
from lifecycle.serve.routes import Routes
from lifecycle.serve.settings import ServedModel, Settings

KEYS_LOOK_S = 1.0

if TYPE_CHECKING:
    from starlette.types import ASGIApp

log = logging.getLogger("lifecycle.serve")


class Worker:
    """One process that answers: what it is made of, and its life.

    Args:
        settings: Of the server.
        home: The server's own folder.
    """

    def __init__(self, settings: Settings, home: Path) -> None:
        self._settings = settings
        self._share = share_cores(settings)
        self._plane = DataPlane()
        self._cells = home / CELLS
        self._metrics = Metrics(Cells(self._cells))
        self._leaving = Leaving(settings.drain_s)
        self._following = Following(home, settings.models, self._open, self._metrics)
        self._access_log = AccessLog(write_to_stderr) if settings.access_log else None
        self._keys = read_keys(settings.api_keys)
        self._provider = open_provider() if settings.tracing else None
        alone = self._share.workers == 1
        self._reckoning = Reckoning(self._plane, None if alone else home / "statistics")

    def app(self) -> ASGIApp:
        """Routes, and around them what guards and what counts."""
        routes = Routes(
            self._plane,
            BodyLimits(
                body_bytes=self._settings.body_limit_bytes,
                timeout_s=self._settings.timeout_s,
            ),
            self._reckoning,
            about=self._following.about,
            leaving=self._leaving,
            metrics=partial(expose, self._cells),
        )
        app = routes.app(self._guard)
        if self._provider is not None:
            app = Traced(app, self._provider)
        return Observed(app, self._metrics, self._leaving, self._access_log)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Open the models and say so; while this is entered the worker answers.

        Raises:
            LifecycleError: a bundle cannot be served. It is logged, and the supervisor told to give up.
        """
        try:
            opened = self._following.open_all()
        except Exception as error:
            report_failure(error)
            raise
        for endpoint in opened:
            self._plane.put(endpoint)
            self._announce(endpoint)
        with self._leaving.on_sigterm():
            beside = running(self._following.run(self._plane, opened), self._watch_keys())
            async with watch_supervisor(), self._reckoning.shared(), beside:
                yield
        stopped = list(self._plane.models.values())
        self._plane.close()
        if self._access_log is not None:
            self._access_log.close()
        if self._provider is not None:
            self._provider.shutdown()
        for endpoint in stopped:
            log.info("stopped serving %s version %s", endpoint.name, endpoint.version)

    def _guard(self, app: ASGIApp) -> ASGIApp:
        settings = self._settings
        gate: ASGIApp = Gate(app, Hosts(settings.allowed_hosts, settings.host), self._keys)
        return allow_origins(gate, settings.cors_origins) if settings.cors_origins else gate

    def _open(self, model: ServedModel) -> Endpoint:
        return open_model(model, self._settings, self._share, MeteredModel(self._metrics, model.name))

    def _announce(self, endpoint: Endpoint) -> None:
        log.info(
            "serving %s version %s at %s (digest %s, workers: %d, ONNX Runtime threads: %d)",
            endpoint.name,
            endpoint.version,
            self._settings.url,
            endpoint.digest[:12],
            self._share.workers,
            self._share.threads,
        )

    async def _watch_keys(self) -> None:
        while self._keys is not None:
            await asyncio.sleep(KEYS_LOOK_S)
            self._keys.look()


def open_model(
    model: ServedModel, settings: Settings, share: Share, listener: Listener | None = None
) -> Endpoint:
    """The endpoint of a model, as the settings want it; raises `LifecycleError` where it cannot be served."""
    batching = Batching(
        batch_size=settings.batch_size,
        batch_deadline_s=settings.batch_deadline_ms / 1000,
        queue_limit=settings.queue_limit,
        deadline_s=settings.deadline_ms / 1000,
    )
    return open_endpoint(
        model.bundle,
        name=model.name,
        version=model.version,
        threads=share.threads,
        batching=batching,
        listener=listener,
    )
