"""A line of JSON to each request, written by a thread of its own: a slow reader holds up no request."""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from lifecycle.serve.protocol.codec import render_json

if TYPE_CHECKING:
    from starlette.types import Message, Scope

PERIOD_S = 0.1
PIECE_BYTES = select.PIPE_BUF
LIMIT = 20_000
"""Lines that wait; where they come faster than they can be written the oldest are left out, and counted."""

log = logging.getLogger("lifecycle.serve")


class AccessLog:
    """Takes lines from the event loop and writes them a few times a second.

    Args:
        write: Writes whole lines somewhere; called with `PIECE_BYTES` at most.
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._lines: deque[dict[str, object]] = deque()
        self._left_out = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def write(self, scope: Scope, head: Message, *, route: str, size: int, seconds: float) -> None:
        """Note one request.

        Args:
            scope: What was asked.
            head: How the answer began.
            route: The template.
            size: Bytes of the answer's body.
            seconds: From the head of the request to the end of the answer.
        """
        if len(self._lines) >= LIMIT:
            self._lines.popleft()
            self._left_out += 1
        state, client = scope.get("state", {}), scope.get("client")
        answer = dict(head.get("headers", ()))
        asked = dict(scope["headers"])
        self._lines.append(
            {
                "time": time.time(),
                "request_id": state.get("request_id"),
                "client": client[0] if client else None,
                "method": scope["method"],
                "path": scope["path"][:200],
                "route": route,
                "status": head.get("status"),
                "code": state.get("code"),
                "duration_ms": round(seconds * 1000, 3),
                "bytes": size,
                "model_version": _text(_get(answer, b"x-model-version")),
                "model_digest": _text(_get(answer, b"x-model-digest")),
                "traceparent": _text(asked.get(b"traceparent")),
                "user_agent": _text(asked.get(b"user-agent")),
            }
        )

    def close(self) -> None:
        """Write what is left."""
        self._stop.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stop.wait(PERIOD_S):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if not lines:
            return
        try:
            for piece in pieces(_line(line) for line in lines):
                self._write(piece)
        except OSError:  # nobody reads it any more
            self._left_out += len(lines)
            return
        if self._left_out:
            log.warning("the access log leaves out %d lines: they came faster than written", self._left_out)
            self._left_out = 0


def write_to_stderr(piece: bytes) -> None:
    """Past Python's own buffer: nobody would flush it."""
    os.write(2, piece)


def pieces(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Lines put together, as many as the system writes to a pipe in one go: other workers write there too."""
    piece = b""
    for line in lines:
        if piece and len(piece) + len(line) > PIECE_BYTES:
            yield piece
            piece = b""
        piece += line
    if piece:
        yield piece


def _line(line: dict[str, object]) -> bytes:
    seconds = line["time"]
    assert isinstance(seconds, float)
    milliseconds = int(seconds * 1000) % 1000
    line["time"] = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{milliseconds:03d}Z"
    return render_json({key: value for key, value in line.items() if value is not None}) + b"\n"


def _get(headers: dict[bytes, bytes], name: bytes) -> bytes | None:
    return headers.get(name) or next((value for key, value in headers.items() if key.lower() == name), None)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value[:200].decode("latin-1")
