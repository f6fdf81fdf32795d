"""A worker's ties to the supervisor: its log, giving up together, and not outliving it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lifecycle.core.errors import LifecycleError

SUPERVISOR = "LIFECYCLE_SERVE_SUPERVISOR"
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
async def watch_supervisor() -> AsyncIterator[None]:
    """End this process when the supervisor was killed: nobody else would, and the port would stay taken."""
    task = asyncio.create_task(_follow(_supervisor()))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _follow(supervisor: int | None) -> None:
    while supervisor is not None:
        if os.getppid() != supervisor:
            log.error("the supervisor is gone; stopping")
            os.kill(os.getpid(), signal.SIGTERM)
            return
        await asyncio.sleep(_PERIOD_S)


def _supervisor() -> int | None:
    text = os.environ.get(SUPERVISOR, "")
    return int(text) if text.isdigit() else None
