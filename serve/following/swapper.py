"""In a worker: open what the follower found good, put it in the place of what answers now, let that go."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal, Protocol

from lifecycle.core.errors import ArtifactError, LifecycleError
from lifecycle.serve.endpoint import Endpoint
from lifecycle.serve.following.followed import Followed, Glance, Target, read

Outcome = Literal["swapped", "failed"]
Report = Callable[[Outcome, float, Endpoint | None, Endpoint | None], None]

RETRY_S = 60.0

log = logging.getLogger("lifecycle.serve")


class Plane(Protocol):
    """What a swap needs of the data plane."""

    def put(self, endpoint: Endpoint) -> Endpoint | None:
        """Answer with this from the next request on; gives back what answered before."""

    def retire(self, endpoint: Endpoint) -> Awaitable[None]:
        """Return once nobody uses it any more, and free it."""


class Swapper:
    """One followed model in one worker.

    Args:
        path: The file that the follower writes.
        name: The model's name.
        version: Which version answers now.
        plane: Where it answers.
        open_target: Opens and warms up, in a thread.
        report: Told whether it went well, the seconds that it took, what answered before and what does now.

    Attributes:
        known: What the follower said last; None before it said anything.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        version: str,
        plane: Plane,
        open_target: Callable[[Target], Endpoint],
        report: Report = lambda outcome, seconds, before, now: None,
    ) -> None:
        self.known: Followed | None = None
        self._path = path
        self._glance = Glance(path)
        self._name = name
        self._serving = version
        self._plane = plane
        self._open_target = open_target
        self._report = report
        self._failed: Target | None = None
        self._again = 0.0
        self._retiring: set[asyncio.Task[None]] = set()

    async def look(self) -> None:
        """Swap if there is something new; costs microseconds when there is not."""
        if self._glance.changed():
            try:
                self.known = read(self._path)
            except ArtifactError as error:
                log.error("%s: %s", self._path.name, error.message)
        if self.known is None or self.known.target.version == self._serving:
            return
        target = self.known.target
        if target == self._failed and time.monotonic() < self._again:
            return
        await self._swap(target)

    async def _swap(self, target: Target) -> None:
        began = time.monotonic()
        try:
            endpoint = await asyncio.to_thread(self._open_target, target)
        except LifecycleError as error:
            self._refuse(target, error.message, began)
            return
        except Exception as error:  # memory, say
            log.exception("version %s of %s cannot be opened here", target.version, self._name)
            self._refuse(target, f"{type(error).__name__}: {error}", began)
            return
        before = self._plane.put(endpoint)
        self._failed, self._serving = None, target.version
        self._report("swapped", time.monotonic() - began, before, endpoint)
        log.info(
            "serving %s version %s (digest %s) in place of version %s",
            self._name,
            target.version,
            target.digest[:12],
            before.version if before else "(none)",
        )
        if before is not None:
            # A client may be slow to let go of it; the next version need not wait for that.
            task = asyncio.create_task(_retire(self._plane, before))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    def _refuse(self, target: Target, reason: str, began: float) -> None:
        log.error(
            "%s: version %s goes on here, version %s was not opened: %s",
            self._name,
            self._serving,
            target.version,
            reason,
        )
        self._failed, self._again = target, time.monotonic() + RETRY_S
        self._report("failed", time.monotonic() - began, None, None)


async def _retire(plane: Plane, endpoint: Endpoint) -> None:
    await plane.retire(endpoint)
    log.debug("let go of %s version %s", endpoint.name, endpoint.version)
