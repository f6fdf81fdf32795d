"""The outermost layer: what comes in and what goes out is counted, and told where that is asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from lifecycle.serve.observability.access_log import AccessLog
from lifecycle.serve.observability.metrics import Metrics
from lifecycle.serve.processes.leaving import Leaving

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_NOBODY_LISTENED = 499
Count = Callable[[float], None]


class Observed:
    """Counts the requests that an application answers.

    Labels are the templates of routes, never paths: a client could make series without end.

    Args:
        app: Answers. It leaves the template in ``scope["route"]``, and the code of an error in
            ``scope["state"]["code"]``.
        metrics: Where to count.
        leaving: Whether the server is about to end; then clients are told to connect elsewhere.
        access_log: Where to write a line to each request; None for nowhere.
    """

    def __init__(
        self, app: ASGIApp, metrics: Metrics, leaving: Leaving, access_log: AccessLog | None = None
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._leaving = leaving
        self._access_log = access_log
        self._in_flight = metrics.adder("lifecycle_http_requests_in_flight")
        self._counting: dict[tuple[str, str, int], tuple[Count, Count]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        began = time.perf_counter()
        self._in_flight(1.0)
        head: Message = {}
        size = 0

        async def send_counted(message: Message) -> None:
            nonlocal head, size
            if message["type"] == "http.response.start":
                head = message
                if self._leaving.begun:
                    head["headers"] = [*head["headers"], (b"connection", b"close")]
            else:
                size += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, send_counted)
        finally:
            self._in_flight(-1.0)
            self._count(scope, head, size, time.perf_counter() - began)

    def _count(self, scope: Scope, head: Message, size: int, seconds: float) -> None:
        route = template(scope)
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        key = (route, method, head.get("status", _NOBODY_LISTENED))
        if key not in self._counting:
            self._counting[key] = self._counters(*key)
        add, observe = self._counting[key]
        add(1.0)
        observe(seconds)
        code = scope.get("state", {}).get("code")
        if code is not None:
            self._metrics.add("lifecycle_http_errors", (route, code))
        if self._access_log is not None:
            self._access_log.write(scope, head, route=route, size=size, seconds=seconds)

    def _counters(self, route: str, method: str, status: int) -> tuple[Count, Count]:
        return (
            self._metrics.adder("lifecycle_http_requests", (route, method, str(status))),
            self._metrics.observer("lifecycle_http_request_seconds", (route,)),
        )


def template(scope: Scope) -> str:
    """The route that answered: ``/v2/models/{name}/infer``; ``(none)`` where there is none."""
    route = scope.get("route")
    found = route if isinstance(route, str) else getattr(route, "path", None)
    return found if isinstance(found, str) else "(none)"
