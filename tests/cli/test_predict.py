from __future__ import annotations

import socket
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from tests.cli.commands import CommandLine


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "rows.json",
            b"[1, 2",
            "error: rows.json cannot be sent: expected a JSON list of rows, a .npy array, or a PNG, ",
        ),
        (
            "rows.npy",
            b"no array",
            "error: rows.npy cannot be sent: expected a JSON list of rows, a .npy array, ",
        ),
        (
            "rows.svg",
            b"<svg/>",
            "error: rows.svg cannot be sent: expected a JSON list of rows, a .npy array, ",
        ),
        ("missing.json", None, "error: no file missing.json\n"),
    ],
)
def test_a_file_without_rows_is_refused(
    lifecycle: CommandLine, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (lifecycle.folder / name).write_bytes(content)
    ended = lifecycle("predict", "http://127.0.0.1:1", name)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(message)


def test_only_images_go_several_at_once(lifecycle: CommandLine) -> None:
    lifecycle.write("rows.json", "[1]")
    ended = lifecycle("predict", "http://127.0.0.1:1", "rows.json", "rows.json")
    assert (ended.code, ended.err) == (
        2,
        "error: rows.json is no image; only images can be sent several at once\n",
    )


def test_an_endpoint_that_is_not_there_is_told_with_what_starts_it(lifecycle: CommandLine) -> None:
    lifecycle.write("rows.json", "[1]")
    ended = lifecycle("predict", f"http://127.0.0.1:{free_port()}", "rows.json")
    assert (ended.code, ended.out) == (1, "")
    assert "/predict cannot be reached: " in ended.err
    assert ended.err.endswith("\nStart it with: lifecycle serve models:/NAME@champion\n")


@pytest.mark.parametrize(
    "url", ["localhost", "localhost:3000", "ftp://h", "http://", "http://h:x", "http://[::1"]
)
def test_an_address_that_is_none_is_wrong_usage(lifecycle: CommandLine, url: str) -> None:
    lifecycle.write("rows.json", "[1]")
    ended = lifecycle("predict", url, "rows.json")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == f"error: '{url}' is no address of an endpoint; expected http://HOST:PORT\n"


@pytest.mark.parametrize(
    ("status", "body", "code", "message"),
    [
        (200, b"hello", 1, "did not answer with JSON: it is another kind of server"),
        (200, b"{}", 1, "gave no predictions: it is another kind of server"),
        (
            401,
            b'{"error": "a key is missing", "request_id": "7"}',
            2,
            "answered 401: a key is missing (request 7)\nPut the ",
        ),
        (503, b"busy", 1, "answered 503: busy\nTry again in 4 s."),
        (500, b"", 1, "answered 500: Internal Server Error"),
    ],
)
def test_other_answers_are_told_apart(
    lifecycle: CommandLine, monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, code: int, message: str
) -> None:
    """A server of another kind, which shows what it was sent, too."""
    seen = []

    class Other(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(self.headers["Authorization"])
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Retry-After", "4")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *values: object) -> None:
            pass

    monkeypatch.setenv("LIFECYCLE_API_KEY", "secret")
    lifecycle.write("rows.json", "[1]")
    with HTTPServer(("127.0.0.1", 0), Other) as server:
        Thread(target=server.handle_request, daemon=True).start()
        ended = lifecycle("predict", f"http://127.0.0.1:{server.server_port}", "rows.json")
    assert (ended.code, ended.out) == (code, "")
    assert message in ended.err
    assert seen == ["Bearer secret"]
