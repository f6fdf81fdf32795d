"""What a BentoML worker loads: ``lifecycle.serve.service:service``."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from lifecycle.serve.processes.bento import fronted_service
from lifecycle.serve.processes.share import share_cores
from lifecycle.serve.processes.worker import configure_logging, home, report_failure
from lifecycle.serve.server import Worker
from lifecycle.serve.settings import VARIABLE, Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp


class LifecycleService:
    """Registered models behind the Open Inference Protocol."""

    @staticmethod
    def front() -> tuple[ASGIApp, Callable[[], AbstractAsyncContextManager[None]]]:
        """The application, made of the settings in the environment."""
        configure_logging()
        try:
            worker = Worker(Settings.from_environment(), home())
        except Exception as error:
            report_failure(error)
            raise
        return worker.app(), worker.serving


def _workers() -> int:
    """BentoML reads their number off the service, which is made when this module is imported."""
    return share_cores(Settings.from_environment()).workers if VARIABLE in os.environ else 1


service = fronted_service(LifecycleService, name="lifecycle", workers=_workers())
