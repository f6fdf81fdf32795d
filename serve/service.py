"""What a BentoML worker loads: ``lifecycle.serve.service:service``."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from lifecycle.core.cores import available_cores
from lifecycle.serve.bento import fronted_service
from lifecycle.serve.dataplane import DataPlane
from lifecycle.serve.endpoint import open_endpoint
from lifecycle.serve.routes import Routes
from lifecycle.serve.settings import Settings
from lifecycle.serve.worker import configure_logging, report_failure, watch_supervisor

if TYPE_CHECKING:
    from starlette.types import ASGIApp

log = logging.getLogger("lifecycle.serve")


class LifecycleService:
    """One registered model behind the Open Inference Protocol."""

    @staticmethod
    def front() -> tuple[ASGIApp, Callable[[], AbstractAsyncContextManager[None]]]:
        """The application, made of the settings in the environment."""
        configure_logging()
        settings = Settings.from_environment()
        threads = settings.threads or available_cores()
        plane = DataPlane(threads=threads)
        routes = Routes(plane, body_limit_bytes=settings.body_limit_bytes, timeout_s=settings.timeout_s)
        return routes.app(), lambda: serving(plane, settings, threads)


@asynccontextmanager
async def serving(plane: DataPlane, settings: Settings, threads: int) -> AsyncIterator[None]:
    """Open the model and say so; while this is entered the plane answers.

    Raises:
        LifecycleError: the bundle cannot be served. It is logged, and the supervisor told to give up.
    """
    try:
        endpoint = open_endpoint(
            settings.bundle, name=settings.name, version=settings.version, threads=threads
        )
    except Exception as error:
        report_failure(error)
        raise
    plane.current = endpoint
    log.info(
        "serving %s version %s at %s (digest %s, ONNX Runtime threads: %d)",
        endpoint.name,
        endpoint.version,
        settings.url,
        endpoint.digest[:12],
        threads,
    )
    async with watch_supervisor():
        yield
    plane.close()
    log.info("stopped serving %s version %s", endpoint.name, endpoint.version)


service = fronted_service(LifecycleService, name="lifecycle")
