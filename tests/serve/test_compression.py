from __future__ import annotations

import asyncio
import gzip
import zlib

import httpx
import numpy as np
import pytest
from starlette.responses import Response, StreamingResponse

from lifecycle.serve.compression import LEAST_BYTES, Compressed, choose
from tests.serve.asking import IMAGES, infer, tensor


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("gzip", "gzip"), ("deflate", "deflate"), ("GZIP", "gzip"), ("gzip, deflate, br", "gzip"),
        ("gzip;q=0.2, deflate;q=0.8", "deflate"), ("gzip;q=0", None), ("*;q=0.1", "gzip"), ("", None),
        ("identity, gzip;q=0.5", None), ("gzip;q=x", None), ("gzip;q=0, *", "deflate"), (";;,=", None),
    ],
)  # fmt: skip
def test_the_client_chooses(accepted: str, chosen: str | None) -> None:
    assert choose(accepted) == chosen


def ask(app: Compressed, method: str = "GET", accepted: str = "gzip") -> httpx.Response:
    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, "/", headers={"Accept-Encoding": accepted})

    return asyncio.run(once())


@pytest.mark.parametrize("accepted", ["gzip", "deflate"])
def test_a_long_answer_is_folded(accepted: str) -> None:
    answer = ask(Compressed(Response(b"x" * LEAST_BYTES)), accepted=accepted)
    assert answer.headers["Content-Encoding"] == accepted
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert int(answer.headers["Content-Length"]) < 100
    assert answer.content == b"x" * LEAST_BYTES


@pytest.mark.parametrize(
    ("app", "method"),
    [
        (Response(b"x" * (LEAST_BYTES - 1)), "GET"),
        (Response(b"x" * LEAST_BYTES), "HEAD"),
        (StreamingResponse(iter([b"x" * LEAST_BYTES, b"y"])), "GET"),
    ],
)
def test_short_and_streamed_answers_and_heads_are_left_as_they_are(app: Response, method: str) -> None:
    answer = ask(Compressed(app), method)
    assert "Content-Encoding" not in answer.headers
    assert answer.content == (
        b"" if method == "HEAD" else app.body if hasattr(app, "body") else b"x" * LEAST_BYTES + b"y"
    )


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_bodies_in_and_out_of_a_live_server(client: httpx.Client, encoding: str) -> None:
    images = np.concatenate([IMAGES] * 20)
    plain = infer(client, tensor(images), outputs=[{"name": "logits"}])
    assert len(plain.content) > LEAST_BYTES
    pack = gzip.compress if encoding == "gzip" else zlib.compress
    answer = client.post(
        "/v2/models/digits/infer",
        content=pack(plain.request.content),
        headers={"Content-Encoding": encoding, "Accept-Encoding": encoding},
    )
    assert answer.status_code == 200
    assert answer.headers["Content-Encoding"] == encoding
    assert answer.json()["outputs"] == plain.json()["outputs"]


def test_what_describes_the_server_is_left_as_it_is(client: httpx.Client) -> None:
    """A client library asks for gzip and does not unfold it."""
    for count in range(1, 30):
        infer(client, tensor(np.concatenate([IMAGES] * count)[:count]))
    answer = client.get("/v2/models/stats", headers={"Accept-Encoding": "gzip"})
    assert len(answer.content) > LEAST_BYTES
    assert "Content-Encoding" not in answer.headers
