"""``POST /predict`` by any of its bodies gives what the same numbers give as rows."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest

from tests.serve.bundles import LABELS, expected_logits, softmax
from tests.serve.pictures import encoded
from tests.serve.predict.test_npy import saved
from tests.serve.servers import Server

SHADES = np.array([[17 * (row + column) for column in range(8)] for row in range(8)], np.uint8)
PIXELS = np.rint(SHADES / 255 * 16).astype(np.uint8)[None]  # as the range of the signature says
TURNED = PIXELS.transpose(0, 2, 1)[:, ::-1]


def asked(client: httpx.Client, content: bytes, media_type: str | None) -> httpx.Response:
    headers = {"Content-Type": media_type} if media_type else {}
    return client.post("/predict", content=content, headers=headers)


def expect(answer: httpx.Response, *samples: np.ndarray) -> None:
    assert answer.status_code == 200, answer.text
    odds = softmax(expected_logits(np.stack(samples)))
    found = answer.json()["predictions"]
    assert [item["label"] for item in found] == [LABELS[at] for at in odds.argmax(axis=1)]
    np.testing.assert_allclose([list(item["probabilities"].values()) for item in found], odds, rtol=1e-4)


@pytest.mark.parametrize("media_type", ["application/x-npy", "application/octet-stream"])
def test_an_array(client: httpx.Client, media_type: str) -> None:
    expect(asked(client, saved(np.stack([PIXELS, TURNED])), media_type), PIXELS, TURNED)
    expect(asked(client, saved(PIXELS[None].astype(np.int64)), media_type), PIXELS)


@pytest.mark.parametrize(
    "media_type", ["image/png", "image/jpeg", "IMAGE/X-ANY; q=1", "application/octet-stream"]
)
def test_an_image_whatever_it_is_called(client: httpx.Client, media_type: str) -> None:
    expect(asked(client, encoded(SHADES), media_type), PIXELS)


def test_images_of_a_form_are_rows_in_its_order(client: httpx.Client) -> None:
    pictures = [encoded(SHADES, "BMP"), encoded(SHADES.T[::-1].copy())]
    files = [("file", ("a", pictures[0])), ("another", ("b.png", pictures[1], "image/png"))]
    expect(client.post("/predict", files=files), PIXELS, TURNED)


@pytest.mark.parametrize(
    ("content", "media_type", "status", "text"),
    [
        (
            b"a=1",
            "application/x-www-form-urlencoded",
            415,
            "Content-Type: expected application/json (rows), application/x-npy",
        ),
        (b"{}", "text/plain", 415, "Content-Type: expected application/json (rows)"),
        (b"[[1]]", "application/json", 400, "rows[0]: expected 64 values"),
        (b"hello", "image/png", 400, "images[0]: this is no image that can be read"),
        (b"hello", "application/octet-stream", 400, "images[0]: this is no image that can be read"),
        (b"hello", "application/x-npy", 400, "array: this is no .npy file that can be read"),
        (b"hello", "multipart/form-data", 400, "form: Missing boundary in multipart."),
        (b"hello", "multipart/form-data; boundary=x", 400, "form: "),
        (b"--x--\r\n", "multipart/form-data; boundary=x", 400, "form: it holds no file; send image files"),
        (
            b'--x\r\nContent-Disposition: form-data; name="rows"\r\n\r\n[]\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
            400,
            "form: field 'rows' is no file; send image files only",
        ),
    ],
)
def test_other_bodies_are_refused_with_the_place(
    client: httpx.Client, content: bytes, media_type: str, status: int, text: str
) -> None:
    answer = asked(client, content, media_type)
    assert answer.status_code == status
    assert answer.json()["error"].startswith(text)


def test_a_form_of_too_many_files_is_refused(client: httpx.Client) -> None:
    answer = client.post("/predict", files=[("file", ("a", b"x"))] * 257)
    assert (answer.status_code, answer.json()["error"]) == (
        400,
        "form: Too many files. Maximum number of files is 256.",
    )


def test_of_several_models_one_is_named(several: Server) -> None:
    def ask(query: dict[str, Any]) -> httpx.Response:
        return httpx.post(several.url() + "/predict", json=[[1, np.e]], params=query, timeout=60)

    assert ask({"model": "logarithm"}).json()["predictions"] == [{"y": pytest.approx([0, 1])}]
    assert ask({"model": "logarithm", "version": "1"}).status_code == 200
    assert ask({"model": "logarithm", "version": "9"}).status_code == 404
    answer = ask({"model": "logarithmus"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    answer = ask({})
    assert answer.status_code == 400
    assert answer.json()["error"].endswith("name one: /v2/models/NAME/infer or /predict?model=NAME")
