"""Who may ask: by which name the server was called, and whether the request brings a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lifecycle.serve.access.hosts import Hosts
from lifecycle.serve.access.keys import Keys
from lifecycle.serve.answers import JSON_TYPE, Headers, error_content, send_answer
from lifecycle.serve.errors import ForbiddenHostError, RequestError, UnauthorizedError
from lifecycle.serve.guard import ID_HEADER, identify
from lifecycle.serve.page.site import STATIC
from lifecycle.serve.protocol.codec import render_json

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

PROBES = frozenset({"/livez", "/readyz", "/v2/health/live", "/v2/health/ready"})
"""Asked by what watches over the server, which knows no key and calls by address; they tell nothing."""

_REMEMBERED = 256


class Gate:
    """Refuses a request before anything of it is read but the head.

    Args:
        app: Answers those that may ask.
        hosts: Names by which the server may be called.
        keys: Of which a request must bring one; None to ask for none.
    """

    def __init__(self, app: ASGIApp, hosts: Hosts, keys: Keys | None) -> None:
        self._app = app
        self._hosts = hosts
        self._keys = keys
        self._called: set[bytes] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope["path"]
        if path in PROBES:
            await self._app(scope, receive, send)
            return
        host, key = b"", b""
        for name, value in scope["headers"]:
            if name == b"host":
                host = value
            elif name == b"authorization" and value[:7].lower() == b"bearer ":
                key = value[7:].strip()
            elif name == b"x-api-key":
                key = value.strip()
        if host not in self._called and not self._is_called(host):
            called = host.decode("latin-1")[:100]
            text = f"this server is not called {called!r}; allowed: {self._hosts.text} (--allowed-host)"
            await _refuse(ForbiddenHostError(text), [], scope, send)
        elif self._keys is not None and path not in STATIC and not self._keys.admit(key):
            state = "is not one of this server's" if key else "is missing"
            text = f"the API key {state}; send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'"
            await _refuse(UnauthorizedError(text), [(b"www-authenticate", b"Bearer")], scope, send)
        else:
            await self._app(scope, receive, send)

    def _is_called(self, host: bytes) -> bool:
        """Whether the server goes by this name; remembered, as to read an address takes many microseconds."""
        allowed = self._hosts.allows(host.decode("latin-1"))
        if allowed and len(self._called) < _REMEMBERED:
            self._called.add(host)
        return allowed


async def _refuse(error: RequestError, headers: Headers, scope: Scope, send: Send) -> None:
    offered = next((value for name, value in scope["headers"] if name == ID_HEADER), None)
    request_id = identify(scope, offered)
    # The body is left unread, and what is on its way must not be taken for the next request.
    given = [JSON_TYPE, (ID_HEADER, request_id), (b"connection", b"close"), *headers]
    content = error_content(scope, error.code, error.message)
    await send_answer(send, error.http_status, given, render_json(content))
