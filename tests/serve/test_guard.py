from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse

from lifecycle.serve.errors import MediaTypeError
from lifecycle.serve.guard import RequestId, check_json


@pytest.mark.parametrize(
    "media_type", ["application/json", "Application/JSON; charset=utf-8", "application/x+json"]
)
def test_json_goes_by_several_names(media_type: str) -> None:
    check_json(media_type)


@pytest.mark.parametrize("media_type", ["image/png", "application/octet-stream", "", "json"])
def test_other_forms_are_refused_by_name(media_type: str) -> None:
    with pytest.raises(MediaTypeError, match=f"Content-Type: expected application/json, got '{media_type}'"):
        check_json(media_type)


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
