"""The outermost layer: every request has an id, every request gets an answer, and no body is too long."""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders

from lifecycle.serve.errors import BodyTooLargeError, MediaTypeError, SlowBodyError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("lifecycle.serve")

_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


class RequestId:
    """Gives each request an id, the client's ``X-Request-ID`` where it is sane, and sends it back.

    An exception that reaches this layer is a bug of ours: `app` has answered it with a 500 by then, and
    it is logged here under the id that the client was told.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        offered = Headers(scope=scope).get("x-request-id", "")
        request_id = offered if _SANE_ID.fullmatch(offered) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            log.exception("request %s: %s %s failed", request_id, scope["method"], scope["path"])


async def read_json_body(request: Request, *, limit_bytes: int, timeout_s: float) -> bytes:
    """The whole body, which must be JSON by its headers; raises `MediaTypeError` else, and as `read_body`."""
    _check_media_type(request.headers)
    return await read_body(request, limit_bytes=limit_bytes, timeout_s=timeout_s)


async def read_body(request: Request, *, limit_bytes: int, timeout_s: float) -> bytes:
    """The whole body, counted as it arrives: a length that the client states is not believed.

    Raises:
        MediaTypeError: it is packed.
        BodyTooLargeError: it is longer than `limit_bytes`.
        SlowBodyError: it took longer than `timeout_s`.
        starlette.requests.ClientDisconnect: the client went away.
    """
    _check_encoding(request.headers)
    stated = request.headers.get("content-length", "")
    if stated.isdigit() and int(stated) > limit_bytes:
        raise _too_large(limit_bytes)
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit_bytes:
                    raise _too_large(limit_bytes)
    except TimeoutError:
        got = f"{len(body)} bytes of it did"
        raise SlowBodyError(f"the body did not arrive within {timeout_s:g} s; {got}") from None
    return bytes(body)


def _check_media_type(headers: Headers) -> None:
    if "inference-header-content-length" in headers:
        raise MediaTypeError("binary tensor data is not served; send JSON 'data'")
    media_type = headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise MediaTypeError(f"Content-Type: expected application/json, got {media_type[:40]!r}")


def _check_encoding(headers: Headers) -> None:
    encoding = headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise MediaTypeError(f"Content-Encoding: expected none, got {encoding[:40]!r}")


def _too_large(limit_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"the body is longer than {limit_bytes} bytes; send fewer samples at once")
