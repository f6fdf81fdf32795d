"""A worker's ties to the supervisor: its log, giving up together, and not outliving it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from lifecycle.core.errors import LifecycleError

SUPERVISOR = "LIFECYCLE_SERVE_SUPERVISOR"
HOME = "LIFECYCLE_SERVE_HOME"
"""The environment variable that names the server's own folder, where alone its processes write."""

GIVE_UP = signal.SIGUSR1
_PERIOD_S = 1.0

log = logging.getLogger("lifecycle.serve")


def configure_logging() -> None:
    """Our lines to stderr, as they are; BentoML's own settings leave them out."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("lifecycle serve: %(message)s"))
    log.handlers = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False
    access = logging.getLogger("uvicorn.access")  # uvicorn would put together a line that BentoML drops
    access.handlers, access.propagate = [], False


def report_failure(error: Exception) -> None:
    """Log why no model can be served, and have the supervisor end rather than try again for ever."""
    log.error("%s", error, exc_info=None if isinstance(error, LifecycleError) else error)
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # all it adds is that starting failed
    supervisor = _supervisor()
    if supervisor is not None and os.getppid() == supervisor:
        os.kill(supervisor, GIVE_UP)


@asynccontextmanager
async def running(*work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Do something beside, until the context is left."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def watch_supervisor() -> AbstractAsyncContextManager[None]:
    """End this process when the supervisor was killed: nobody else would, and the port would stay taken."""
    return running(_follow(_supervisor()))


async def _follow(supervisor: int | None) -> None:
    while supervisor is not None:
        if os.getppid() != supervisor:
            log.error("the supervisor is gone; stopping")
            os.kill(os.getpid(), signal.SIGTERM)
            return
        await asyncio.sleep(_PERIOD_S)


def home() -> Path:
    """The server's own folder."""
    return Path(os.environ[HOME])


def _supervisor() -> int | None:
    text = os.environ.get(SUPERVISOR, "")
    return int(text) if text.isdigit() else None
