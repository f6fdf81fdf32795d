"""The outermost layer: every request has an id, and every request gets an answer."""

from __future__ import annotations

import logging
import re
from random import getrandbits
from typing import TYPE_CHECKING

from lifecycle.serve.errors import MediaTypeError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

JSON = "application/json"
ID_HEADER = b"x-request-id"
log = logging.getLogger("lifecycle.serve")

_SANE_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")


class RequestId:
    """Gives each request an id, the client's ``X-Request-ID`` where it is sane, and sends it back.

    An exception that reaches this layer is a bug of ours: `app` has answered it with a 500 by then, and
    it is logged here under the id that the client was told.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        offered = next((value for name, value in scope["headers"] if name == ID_HEADER), None)
        encoded = identify(scope, offered)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (ID_HEADER, encoded)]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            log_failure(scope)


def identify(scope: Scope, offered: bytes | None) -> bytes:
    """The id of a request: the client's where it is sane; noted in the scope's state."""
    encoded = offered if offered and _SANE_ID.fullmatch(offered) else b"%032x" % getrandbits(128)
    scope.setdefault("state", {})["request_id"] = encoded.decode()
    return encoded


def log_failure(scope: Scope) -> None:
    """The exception at hand is a bug of ours; the client was told the id to look for."""
    request_id = scope["state"]["request_id"]
    log.exception("request %s: %s %s failed", request_id, scope["method"], scope["path"])


def check_json(content_type: str) -> None:
    """Raise `MediaTypeError` unless it is JSON."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != JSON and not media_type.endswith("+json"):
        raise MediaTypeError(f"Content-Type: expected {JSON}, got {media_type[:40]!r}")
