"""Answers in the form that the client can unfold: gzip or deflate, where it says so and where it pays."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LEAST_BYTES = 1024
PLAIN = "/v2"
"""Left alone here: tritonclient's asynchronous client asks for gzip and reads it in inference only."""

_LEVEL = 1
_WBITS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


class Compressed:
    """Folds the answers of an application that gives each in one piece.

    ``Accept-Encoding`` as of RFC 9110, 12.5.3; what is shorter than `LEAST_BYTES` is left as it is.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        accepted = dict(scope["headers"]).get(b"accept-encoding")
        if accepted is None or scope["method"] == "HEAD" or scope["path"].startswith(PLAIN):
            await self._app(scope, receive, send)
            return
        head: Message | None = None

        async def send_folded(message: Message) -> None:
            nonlocal head
            if message["type"] == "http.response.start":
                head = message
                return
            body = message.get("body", b"")
            if head is not None:
                if not message.get("more_body", False):
                    headers = [(name, value) for name, value in head["headers"] if name != b"content-length"]
                    body = folded(accepted, headers, body)
                    head["headers"] = [*headers, (b"content-length", b"%d" % len(body))]
                    message = {**message, "body": body}
                await send(head)
                head = None
            await send(message)

        await self._app(scope, receive, send_folded)


def choose(accepted: str) -> str | None:
    """The encoding that the client likes best, of those that are made here; None to send plainly.

    >>> choose("deflate, gzip"), choose("gzip;q=0, deflate;q=0.5"), choose("br"), choose("*")
    ('gzip', 'deflate', None, 'gzip')
    """
    liked: dict[str, float] = {}
    for part in accepted.lower().split(","):
        name, _, parameter = part.partition(";")
        key, _, value = parameter.partition("=")
        try:
            liked[name.strip()] = float(value) if key.strip() == "q" else 1.0
        except ValueError:
            liked[name.strip()] = 0.0
    best = max(_WBITS, key=lambda name: liked.get(name, liked.get("*", 0.0)))
    quality = liked.get(best, liked.get("*", 0.0))
    return best if quality > 0 and quality >= liked.get("identity", 0.0) else None


def folded(accepted: bytes, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes:
    """The body as the client likes it; what says so is added to the headers.

    Args:
        accepted: The request's ``Accept-Encoding``.
        headers: Of the answer, without its length.
        body: Of the answer.
    """
    encoding = choose(accepted.decode("latin-1")) if len(body) >= LEAST_BYTES else None
    if encoding is None:
        return body
    headers += [(b"content-encoding", encoding.encode()), (b"vary", b"Accept-Encoding")]
    encoder = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WBITS[encoding])  # quickly rather than well
    return encoder.compress(body) + encoder.flush()
