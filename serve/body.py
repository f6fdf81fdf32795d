"""Request bodies, counted as they arrive and as they unfold: no length that a client states is believed."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from starlette.requests import ClientDisconnect

from lifecycle.core.errors import UsageError
from lifecycle.serve.errors import BodyTooLargeError, MediaTypeError, OverloadedError, SlowBodyError

if TYPE_CHECKING:
    from starlette.types import Receive

_ALIGNMENT = 16  # where memory from malloc begins, and the widest element is 8
_STEP_BYTES = 65_536
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
_BODIES_IN_MEMORY = 8


@dataclass(frozen=True, kw_only=True)
class BodyLimits:
    """How much is read, and how long that may take.

    Attributes:
        body_bytes: Longest body, as it arrives and unfolded.
        timeout_s: Seconds that a client may take to send it.
        image_pixels: How many pixels an image may have, looked at before any is decoded.
    """

    body_bytes: int
    timeout_s: float
    image_pixels: int = 50_000_000

    @property
    def memory_bytes(self) -> int:
        """All bodies together that may be in memory at once."""
        return self.body_bytes * _BODIES_IN_MEMORY


class Bodies:
    """The bodies that one process holds.

    Attributes:
        limits: How long each may be.
        held_bytes: Of all together.
    """

    def __init__(self, limits: BodyLimits) -> None:
        self.limits = limits
        self.held_bytes = 0
        self._patience = Patience(limits.timeout_s)

    async def read(self, headers: Mapping[bytes, bytes], receive: Receive, *, tail_at: int = 0) -> Body:
        """The whole body, unfolded where it is compressed (``gzip`` or ``deflate``).

        Args:
            headers: By name in lower case.
            receive: Of ASGI.
            tail_at: Where in the body the numbers begin: they are laid so that they can be used in place.

        Raises:
            MediaTypeError: it is compressed in another way, or not as it says.
            BodyTooLargeError: it is longer than the limit, compressed or not.
            SlowBodyError: it took longer than the limit.
            OverloadedError: too many bodies are in memory already.
            starlette.requests.ClientDisconnect: the client went away.
        """
        stated = headers.get(b"content-length", b"")
        if stated.isdigit() and (len(stated) > 18 or int(stated) > self.limits.body_bytes):
            raise _too_large(self.limits.body_bytes)
        body = Body(self, int(stated or 0) if stated.isdigit() else 0, tail_at)
        unfold = _unfolding(headers, self.limits) if b"content-encoding" in headers else None
        reading = self._patience.begin()
        try:
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                chunk, more = message.get("body", b""), message.get("more_body", False)
                if unfold is None:
                    body.add(chunk, last=not more)
                else:
                    unfold.into(body, chunk, last=not more)
        except BaseException as error:
            self._give_up(body, reading, error)
            raise
        finally:
            self._patience.end(reading)
        return body

    def _give_up(self, body: Body, reading: asyncio.Task[object], error: BaseException) -> None:
        """Let go of what was read; raise `SlowBodyError` where it was us who lost patience."""
        got = f"{body.size} bytes of it did"
        body.release()
        if isinstance(error, asyncio.CancelledError) and self._patience.ended(reading):
            late = f"the body did not arrive within {self.limits.timeout_s:g} s; {got}"
            raise SlowBodyError(late) from None


class Patience:
    """Cancels what takes too long: one timer for all, as one for each costs a tenth of a small request.

    Args:
        limit_s: How long anything may take; it is noticed within a quarter more.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._since: dict[asyncio.Task[object], float] = {}
        self._ended: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> asyncio.Task[object]:
        """From now on the current task is watched."""
        task = asyncio.current_task()
        assert task is not None
        self._since[task] = perf_counter()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._limit_s / 4, self._look)
        return task

    def end(self, task: asyncio.Task[object]) -> None:
        """It came to its end."""
        self._since.pop(task, None)

    def ended(self, task: asyncio.Task[object]) -> bool:
        """Whether it was cancelled here; then it goes on living."""
        if task not in self._ended:
            return False
        self._ended.remove(task)
        task.uncancel()
        return True

    def _look(self) -> None:
        self._timer = None
        late = perf_counter() - self._limit_s
        for task in [task for task, since in self._since.items() if since <= late]:
            del self._since[task]
            self._ended.add(task)
            task.cancel()
        if self._since:
            self._timer = asyncio.get_running_loop().call_later(self._limit_s / 4, self._look)


class Body:
    """One body in memory, until it is released.

    A body that arrived in one piece is used as it is; others are gathered in one place, laid out so that the
    part from `tail_at` on is aligned.

    Attributes:
        size: Bytes so far.
    """

    __slots__ = ("_bodies", "_buffer", "_expected", "_offset", "_whole", "size")

    def __init__(self, bodies: Bodies, expected: int, tail_at: int) -> None:
        self.size = 0
        self._bodies = bodies
        self._expected = expected
        self._offset = -tail_at % _ALIGNMENT
        self._buffer: memoryview | None = None
        self._whole: bytes = b""

    def add(self, chunk: bytes, *, last: bool = False) -> None:
        """The next bytes; raises `BodyTooLargeError` or `OverloadedError` where they are too many."""
        bodies, size = self._bodies, self.size + len(chunk)
        if size > bodies.limits.body_bytes:
            raise _too_large(bodies.limits.body_bytes)
        if bodies.held_bytes + len(chunk) > bodies.limits.memory_bytes:
            raise OverloadedError(
                f"{bodies.held_bytes} bytes of other requests are in memory already; try again later"
            )
        if last and self._buffer is None:
            self._whole = chunk
        elif chunk:
            self._gather(chunk, size)
        self.size = size
        bodies.held_bytes += len(chunk)

    def _gather(self, chunk: bytes, size: int) -> None:
        begin, end = self._offset + self.size, self._offset + size
        buffer = self._buffer
        if buffer is None or end > len(buffer):
            # Memory that nothing was written to yet costs nothing, so what is stated can be asked for.
            room = max(end, self._offset + self._expected if buffer is None else len(buffer) * 3 // 2)
            self._buffer = np.empty(room, np.uint8).data
            if buffer is not None:
                self._buffer[:begin] = buffer[:begin]
            buffer = self._buffer
        buffer[begin:end] = chunk

    @property
    def content(self) -> memoryview:
        """The bytes; not copied."""
        if self._buffer is None:
            return memoryview(self._whole)
        return self._buffer[self._offset : self._offset + self.size]

    def release(self) -> None:
        """It no longer counts as being in memory."""
        self._bodies.held_bytes -= self.size
        self.size = 0
        self._buffer, self._whole = None, b""


class _Unfolding:
    """A compressed body, a step at a time: whoever adds the steps up can stop before there are too many."""

    def __init__(self, encoding: bytes, limit: int) -> None:
        if encoding not in (b"gzip", b"x-gzip", b"deflate"):
            got = encoding[:40].decode("latin-1")
            raise MediaTypeError(f"Content-Encoding: expected gzip, deflate or none, got {got!r}")
        self._name = encoding.decode()
        self._limit = limit
        self._taken = 0
        self._decoder = zlib.decompressobj(_GZIP_OR_ZLIB)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """What the next bytes unfold to, a step at a time."""
        self._taken += len(chunk)
        if self._taken > self._limit:
            raise _too_large(self._limit)
        while chunk:
            if self._decoder.eof:
                raise UsageError(f"the body: bytes follow where its Content-Encoding {self._name} ends")
            try:
                yield self._decoder.decompress(chunk, _STEP_BYTES)
            except zlib.error as error:
                raise UsageError(f"the body is not {self._name} as Content-Encoding says: {error}") from None
            chunk = self._decoder.unconsumed_tail or self._decoder.unused_data

    def into(self, body: Body, chunk: bytes, *, last: bool) -> None:
        """Add what the next bytes unfold to; raises `UsageError` where the last are not the end."""
        for part in self.feed(chunk):
            body.add(part)
        if last and not self._decoder.eof:
            raise UsageError(f"the body ends before its Content-Encoding {self._name} does")


def _unfolding(headers: Mapping[bytes, bytes], limits: BodyLimits) -> _Unfolding | None:
    encoding = headers[b"content-encoding"]
    return None if encoding == b"identity" else _Unfolding(encoding, limits.body_bytes)


async def disconnected(receive: Receive) -> None:
    """Return once the client has closed the connection; only after the whole body was read."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _too_large(limit_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"the body is longer than {limit_bytes} bytes; send fewer samples at once")
