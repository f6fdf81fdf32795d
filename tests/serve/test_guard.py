from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse

from lifecycle.serve.errors import BodyTooLargeError, MediaTypeError, SlowBodyError
from lifecycle.serve.guard import RequestId, read_json_body


def request(*chunks: bytes, headers: Sequence[tuple[str, str]] = (), then: str = "end") -> Request:
    """A request whose body arrives in chunks, and then ends, stalls, or is cut off."""

    async def messages() -> AsyncIterator[dict[str, Any]]:
        for chunk in chunks:
            yield {"type": "http.request", "body": chunk, "more_body": True}
        if then == "stall":
            await asyncio.sleep(3600)
        yield {"type": "http.disconnect"} if then == "cut" else {"type": "http.request", "body": b""}

    stream = messages()
    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": raw}
    return Request(scope, lambda: anext(stream))


def read(asked: Request, *, limit_bytes: int = 10, timeout_s: float = 30) -> bytes:
    return asyncio.run(read_json_body(asked, limit_bytes=limit_bytes, timeout_s=timeout_s))


def test_a_body_may_be_just_as_long_as_the_limit() -> None:
    assert read(request(b"12345", b"67890")) == b"1234567890"


def test_a_longer_one_is_refused_as_it_arrives() -> None:
    """The rest is not waited for: this one would never end."""
    with pytest.raises(BodyTooLargeError, match="the body is longer than 10 bytes; send fewer samples"):
        read(request(b"12345", b"678901", then="stall"))


def test_a_stated_length_is_refused_before_it_arrives() -> None:
    with pytest.raises(BodyTooLargeError):
        read(request(headers=[("Content-Length", "11")], then="stall"))


def test_a_slow_body_is_given_up() -> None:
    with pytest.raises(SlowBodyError, match=r"did not arrive within 0\.01 s; 5 bytes of it did"):
        read(request(b"12345", then="stall"), timeout_s=0.01)


def test_a_client_that_went_away_is_not_an_error_of_ours() -> None:
    with pytest.raises(ClientDisconnect):
        read(request(b"12345", then="cut"))


@pytest.mark.parametrize(
    "media_type", ["application/json", "Application/JSON; charset=utf-8", "application/x+json"]
)
def test_json_goes_by_several_names(media_type: str) -> None:
    assert read(request(b"1", headers=[("Content-Type", media_type)])) == b"1"


@pytest.mark.parametrize(
    ("header", "text"),
    [
        (("Content-Type", "image/png"), "Content-Type: expected application/json, got 'image/png'"),
        (("Content-Encoding", "gzip"), "Content-Encoding: expected none, got 'gzip'"),
        (("Inference-Header-Content-Length", "12"), "binary tensor data is not served"),
    ],
)
def test_other_forms_are_refused_by_name(header: tuple[str, str], text: str) -> None:
    with pytest.raises(MediaTypeError, match=text):
        read(request(b"1", headers=[header]))


def ask(app: RequestId, **headers: str) -> httpx.Response:
    async def once() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.get("/x", headers=headers)

    return asyncio.run(once())


@pytest.mark.parametrize("sane", ["abc-1", "7f0b:ae/21+c=", "a" * 128])
def test_a_sane_request_id_comes_back(sane: str) -> None:
    response = ask(RequestId(PlainTextResponse("hello")), **{"X-Request-ID": sane})
    assert response.headers["X-Request-ID"] == sane


@pytest.mark.parametrize("mad", ["", "a b", "<script>", "a" * 129, '"'])
def test_any_other_is_replaced(mad: str) -> None:
    answers = {
        ask(RequestId(PlainTextResponse("hello")), **{"X-Request-ID": mad}).headers["X-Request-ID"]
        for _ in "12"
    }
    assert len(answers) == 2
    assert all(len(answer) == 32 and answer.isalnum() for answer in answers)


def test_a_bug_is_logged_under_the_id_and_goes_no_further(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("sorry", status_code=500)(scope, receive, send)
        raise RuntimeError("a bug")

    with caplog.at_level(logging.ERROR, "lifecycle.serve"):
        response = ask(RequestId(broken), **{"X-Request-ID": "abc-1"})
    assert response.status_code == 500
    assert "request abc-1: GET /x failed" in caplog.text
    assert "RuntimeError: a bug" in caplog.text
