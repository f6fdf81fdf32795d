"""What a BentoML worker loads: ``lifecycle.serve.service:service``."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from lifecycle.serve.batching import Batching
from lifecycle.serve.bento import fronted_service
from lifecycle.serve.dataplane import DataPlane
from lifecycle.serve.endpoint import Endpoint, open_endpoint
from lifecycle.serve.routes import Routes
from lifecycle.serve.settings import VARIABLE, ServedModel, Settings
from lifecycle.serve.share import Share, share_cores
from lifecycle.serve.worker import configure_logging, report_failure, watch_supervisor

if TYPE_CHECKING:
    from starlette.types import ASGIApp

log = logging.getLogger("lifecycle.serve")


class LifecycleService:
    """Registered models behind the Open Inference Protocol."""

    @staticmethod
    def front() -> tuple[ASGIApp, Callable[[], AbstractAsyncContextManager[None]]]:
        """The application, made of the settings in the environment."""
        configure_logging()
        settings = Settings.from_environment()
        plane = DataPlane()
        routes = Routes(plane, body_limit_bytes=settings.body_limit_bytes, timeout_s=settings.timeout_s)
        return routes.app(), lambda: serving(plane, settings)


@asynccontextmanager
async def serving(plane: DataPlane, settings: Settings) -> AsyncIterator[None]:
    """Open the models and say so; while this is entered the plane answers.

    Raises:
        LifecycleError: a bundle cannot be served. It is logged, and the supervisor told to give up.
    """
    share = share_cores(settings)
    try:
        opened = [open_model(model, settings, share) for model in settings.models]
    except Exception as error:
        report_failure(error)
        raise
    for endpoint in opened:
        plane.put(endpoint)
        log.info(
            "serving %s version %s at %s (digest %s, workers: %d, ONNX Runtime threads: %d)",
            endpoint.name,
            endpoint.version,
            settings.url,
            endpoint.digest[:12],
            share.workers,
            share.threads,
        )
    async with watch_supervisor():
        yield
    stopped = list(plane.models.values())
    plane.close()
    for endpoint in stopped:
        log.info("stopped serving %s version %s", endpoint.name, endpoint.version)


def open_model(model: ServedModel, settings: Settings, share: Share) -> Endpoint:
    """The endpoint of a model, as the settings want it; raises `LifecycleError` where it cannot be served."""
    batching = Batching(
        batch_size=settings.batch_size,
        batch_deadline_s=settings.batch_deadline_ms / 1000,
        queue_limit=settings.queue_limit,
        deadline_s=settings.deadline_ms / 1000,
    )
    return open_endpoint(
        model.bundle, name=model.name, version=model.version, threads=share.threads, batching=batching
    )


def _workers() -> int:
    """BentoML reads their number off the service, which is made when this module is imported."""
    return share_cores(Settings.from_environment()).workers if VARIABLE in os.environ else 1


service = fronted_service(LifecycleService, name="lifecycle", workers=_workers())
