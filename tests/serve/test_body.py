from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from lifecycle.core.errors import UsageError
from lifecycle.serve.body import Bodies, BodyLimits, disconnected
from lifecycle.serve.errors import BodyTooLargeError, MediaTypeError, OverloadedError, SlowBodyError


def arriving(*chunks: bytes, then: str = "end") -> Receive:
    """A body that arrives in chunks, and then ends, stalls, or is cut off."""

    async def messages() -> AsyncIterator[Message]:
        for chunk in chunks:
            yield {"type": "http.request", "body": chunk, "more_body": True}
        if then == "stall":
            await asyncio.sleep(3600)
        yield {"type": "http.disconnect"} if then == "cut" else {"type": "http.request", "body": b""}

    stream = messages()
    return lambda: anext(stream)  # type: ignore[return-value]


def bodies(limit: int = 10, timeout_s: float = 30) -> Bodies:
    return Bodies(BodyLimits(body_bytes=limit, timeout_s=timeout_s))


def read(receive: Receive, into: Bodies | None = None, tail_at: int = 0, **headers: str) -> bytes:
    async def once() -> bytes:
        given = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
        body = await (into or bodies()).read(given, receive, tail_at=tail_at)
        content = bytes(body.content)
        body.release()
        return content

    return asyncio.run(once())


def test_a_body_may_be_just_as_long_as_the_limit() -> None:
    assert read(arriving(b"12345", b"67890")) == b"1234567890"


@given(chunks=st.lists(st.binary(max_size=40), max_size=8), stated=st.booleans(), tail_at=st.integers(0, 300))
def test_chunks_become_the_body_that_they_are_of(chunks: list[bytes], stated: bool, tail_at: int) -> None:
    whole = b"".join(chunks)
    length = {"content_length": str(len(whole))} if stated else {}
    into = bodies(1000)
    assert read(arriving(*chunks), into, tail_at, **length) == whole
    assert into.held_bytes == 0


def test_the_numbers_in_it_are_laid_out_to_be_used_in_place() -> None:
    async def once() -> bool:
        head, numbers = b"x" * 37, np.arange(100, dtype=np.float64).tobytes()
        body = await bodies(10_000).read({}, arriving(head, numbers[:70], numbers[70:]), tail_at=37)
        return np.frombuffer(body.content[37:], np.float64).flags.aligned

    assert asyncio.run(once())


def test_a_longer_one_is_refused_as_it_arrives() -> None:
    """The rest is not waited for: this one would never end."""
    with pytest.raises(BodyTooLargeError, match="the body is longer than 10 bytes; send fewer samples"):
        read(arriving(b"12345", b"678901", then="stall"))


@pytest.mark.parametrize("stated", ["11", "9" * 5000])
def test_a_stated_length_is_refused_before_it_arrives(stated: str) -> None:
    with pytest.raises(BodyTooLargeError):
        read(arriving(then="stall"), content_length=stated)


def test_a_slow_body_is_given_up() -> None:
    with pytest.raises(SlowBodyError, match=r"did not arrive within 0\.01 s; 5 bytes of it did"):
        read(arriving(b"12345", then="stall"), bodies(timeout_s=0.01))


def test_being_slow_is_told_from_being_cancelled() -> None:
    async def ask() -> None:
        into = bodies()
        task = asyncio.create_task(into.read({}, arriving(b"12345", then="stall")))
        await asyncio.sleep(0.01)
        assert into.held_bytes == 5
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert into.held_bytes == 0

    asyncio.run(ask())


def test_a_client_that_went_away_is_not_an_error_of_ours() -> None:
    with pytest.raises(ClientDisconnect):
        read(arriving(b"12345", then="cut"))


def test_going_away_later_is_noticed() -> None:
    asyncio.run(asyncio.wait_for(disconnected(arriving(then="cut")), 10))


def test_all_bodies_together_are_bounded() -> None:
    into = bodies(limit=100)

    async def ask() -> None:
        for _ in range(8):
            await into.read({}, arriving(b"x" * 100))
        with pytest.raises(OverloadedError, match="800 bytes of other requests are in memory already"):
            await into.read({}, arriving(b"x"))
        assert into.held_bytes == 800

    asyncio.run(ask())


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_compressed_body_is_unfolded(encoding: str) -> None:
    whole = bytes(range(256)) * 40
    packed = gzip.compress(whole) if encoding == "gzip" else zlib.compress(whole)
    chunks = [packed[at : at + 100] for at in range(0, len(packed), 100)]
    assert read(arriving(*chunks), bodies(len(whole)), content_encoding=encoding) == whole


def test_the_limit_holds_for_what_a_small_body_unfolds_to() -> None:
    """100 MB of zeros in 100 kB; hardly any memory is spent on finding out."""
    bomb = gzip.compress(bytes(10**8))
    tracemalloc.start()
    with pytest.raises(BodyTooLargeError, match="longer than 1000000 bytes"):
        read(arriving(bomb), bodies(10**6), content_encoding="gzip")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * 10**6


@pytest.mark.parametrize(
    ("packed", "text"),
    [
        (b"12345", "the body is not gzip as Content-Encoding says: "),
        (gzip.compress(b"12345")[:-4], "the body ends before its Content-Encoding gzip does"),
        (b"", "the body ends before its Content-Encoding gzip does"),
        (gzip.compress(b"12345") + b"more", "the body: bytes follow where its Content-Encoding gzip ends"),
    ],
)
def test_what_is_not_compressed_as_it_says_is_refused(packed: bytes, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(arriving(packed), bodies(1000), content_encoding="gzip")
    assert caught.value.message.startswith(text)


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "GZIP2", ""])
def test_other_encodings_are_refused_by_name(encoding: str) -> None:
    with pytest.raises(MediaTypeError, match="Content-Encoding: expected gzip, deflate or none, got "):
        read(arriving(b"1"), content_encoding=encoding)
