from __future__ import annotations

import json
import logging
import select
import threading
from typing import Any

import pytest

from lifecycle.serve.observability import access_log
from lifecycle.serve.observability.access_log import AccessLog

SCOPE: dict[str, Any] = {
    "method": "GET",
    "path": "/x",
    "headers": [(b"user-agent", b"a test")],
    "state": {"request_id": "one"},
}


def test_a_reader_that_stands_still_holds_nobody_up_and_what_is_left_out_is_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(access_log, "LIMIT", 30)
    monkeypatch.setattr(
        access_log, "PERIOD_S", 60.0
    )  # written at the end alone, however long forty lines take
    going, written = threading.Event(), list[bytes]()

    def write(content: bytes) -> None:
        assert going.wait(60)
        written.append(content)

    log = AccessLog(write)
    for number in range(40):
        head = {"status": 200, "headers": [(b"x-model-version", b"%d" % number)]}
        log.write(SCOPE, head, route="/x", size=3, seconds=0.0012)
    going.set()
    with caplog.at_level(logging.WARNING, "lifecycle.serve"):
        log.close()
    assert all(len(piece) <= select.PIPE_BUF and piece.endswith(b"\n") for piece in written)
    lines = [json.loads(line) for line in b"".join(written).splitlines()]
    assert len(lines) + int(caplog.text.split("leaves out ")[1].split()[0]) == 40
    assert lines[-1]["model_version"] == "39"
    assert (lines[-1]["duration_ms"], lines[-1]["bytes"], lines[-1]["user_agent"]) == (1.2, 3, "a test")
