"""One guarded, watched server with two workers: its keys, its logs, clients that misbehave, and its end."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lifecycle.serve.settings import ServedModel, Settings
from tests.serve.load import Load, once
from tests.serve.marked import marked_bundle
from tests.serve.servers import Server, started

KEY, OTHER = "a-key-of-this-test-only", "another-key-of-this-test"
MARKS = {"1": 1000.0}
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text(f"# of this test\n\n{KEY}\n")
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def server(key_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    bundle = marked_bundle(tmp_path_factory.mktemp("bundles") / "bundle", MARKS["1"])
    settings = Settings(
        models=(ServedModel(name="marked", version="1", bundle=bundle.path),),
        port=0,
        workers=2,
        threads=1,
        timeout_s=2.0,
        drain_s=5.0,
        api_keys=key_file,
        cors_origins=("https://app.example.com",),
        access_log=True,
        tracing=True,
    )
    variables = {"OTEL_TRACES_EXPORTER": "console", "OTEL_BSP_SCHEDULE_DELAY": "200"}
    with started(settings, tmp_path_factory.mktemp("server"), **variables) as running:
        running.url()
        running.wait_for(lambda: running.stderr.count("serving marked version 1 at") == 2 or None)
        yield running


def ask(server: Server, path: str = "/v2/models/marked", **headers: str) -> httpx.Response:
    return once(server.url() + path, headers=headers)


def with_key(server: Server, path: str = "/v2/models/marked", **headers: str) -> httpx.Response:
    return ask(server, path, **{"X-API-Key": KEY, **headers})


def test_only_who_brings_a_key_is_answered(server: Server) -> None:
    refused = ask(server)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.json()["code"] == "unauthorized"
    assert refused.json()["error"].startswith(
        "the API key is missing; send it as 'Authorization: Bearer KEY'"
    )
    assert refused.json()["request_id"] == refused.headers["x-request-id"]
    assert ask(server, **{"X-API-Key": KEY + "x"}).status_code == 401
    assert ask(server, **{"X-API-Key": KEY}).status_code == 200
    assert ask(server, Authorization=f"Bearer {KEY}").status_code == 200
    assert ask(server, "/metrics").status_code == 401
    for probe in ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready"):
        assert ask(server, probe).status_code == 200


def test_a_name_that_is_not_its_own_is_refused(server: Server) -> None:
    refused = with_key(server, Host="evil.example")
    assert refused.status_code == 421
    assert "'evil.example'; allowed: localhost, 127.0.0.1, [::1]" in refused.json()["error"]
    assert with_key(server, Host="localhost:80").status_code == 200


def test_pages_of_one_origin_may_ask(server: Server) -> None:
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    url = server.url() + "/v2/models/marked/infer"
    allowed = once(url, method="OPTIONS", headers={"Origin": "https://app.example.com", **preflight})
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "https://app.example.com"
    other = once(url, method="OPTIONS", headers={"Origin": "https://other.example.com", **preflight})
    assert "access-control-allow-origin" not in other.headers
    refused = ask(server, Origin="https://app.example.com")
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://app.example.com"


def test_a_request_leaves_a_line_and_a_span(server: Server) -> None:
    parent = f"00-{TRACE}-b7ad6b7169203331-01"
    answered = with_key(server, traceparent=parent, **{"X-Request-ID": "seen-1"})
    assert answered.headers["x-request-id"] == "seen-1"
    line = server.wait_for(
        lambda: next((one for one in lines(server) if one.get("request_id") == "seen-1"), None)
    )
    assert line["method"] == "GET"
    assert line["route"] == "/v2/models/{name}"
    assert line["path"] == "/v2/models/marked"
    assert (line["status"], line["model_version"], line["traceparent"]) == (200, "1", parent)
    assert line["bytes"] == len(answered.content)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    assert KEY not in server.stderr

    server.wait_for(lambda: f'"trace_id": "0x{TRACE}"' in server.stderr or None)
    assert '"parent_id": "0xb7ad6b7169203331"' in server.stderr
    assert '"name": "GET /v2/models/{name}"' in server.stderr
    assert '"lifecycle.model.version": "1"' in server.stderr


def lines(server: Server) -> list[dict[str, Any]]:
    """The access log so far."""
    return [json.loads(line) for line in server.stderr.splitlines() if line.startswith('{"time":')]


def test_metrics_add_up_over_workers_and_know_routes_not_paths(server: Server) -> None:
    series = 'lifecycle_http_requests_total{method="GET",route="(none)",status="404"}'

    def count() -> float:
        found = [line for line in with_key(server, "/metrics").text.splitlines() if line.startswith(series)]
        return float(found[0].rpartition(" ")[2]) if found else 0.0

    before = count()
    for number in range(12):  # on connections of their own: either worker may answer
        assert with_key(server, f"/nope/{number}").status_code == 404
    assert {count() for _ in range(6)} == {before + 12}, "whichever worker is asked"
    page = with_key(server, "/metrics").text
    assert "nope" not in page
    assert 'lifecycle_http_errors_total{code="not_found",route="(none)"}' in page
    assert page.count("lifecycle_process_resident_memory_bytes{") == 2
    assert 'lifecycle_model_info{digest="' in page
    openmetrics = with_key(server, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert openmetrics.text.endswith("# EOF\n")


def test_keys_are_read_again_when_the_file_changes(server: Server, key_file: Path) -> None:
    replace(key_file, "short\n")
    server.wait_for(lambda: server.stderr.count("the API keys stay as they were: ") == 2 or None)
    assert with_key(server).status_code == 200
    replace(key_file, f"{KEY}\n{OTHER}\n")
    server.wait_for(lambda: server.stderr.count("API keys read again: 2") == 2 or None)
    assert {ask(server, **{"X-API-Key": key}).status_code for key in (KEY, OTHER)} == {200}


def replace(path: Path, text: str) -> None:
    aside = path.with_name("aside")
    aside.write_text(text)
    aside.chmod(0o600)
    aside.replace(path)


BODY = json.dumps({"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}).encode()
HEAD = (
    "POST /v2/models/marked/infer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    f"X-API-Key: {KEY}\r\nContent-Length: {len(BODY)}\r\n\r\n"
).encode()


def connect(server: Server) -> socket.socket:
    address = httpx.URL(server.url())
    return socket.create_connection((address.host, address.port or 80), timeout=30)


def test_slow_clients_hold_nobody_up(server: Server) -> None:
    """Forty that stop in the middle of a body; one that goes on gets its answer, the others a 408."""
    slow = [connect(server) for _ in range(39)]
    for connection in slow:
        connection.sendall(HEAD + BODY[:10])
    with Load(server.url(), "marked", MARKS, clients=1, key=KEY) as load:
        server.wait_for(lambda: load.total >= 20 or None)
    assert load.failures == []
    with connect(server) as going_on:  # begun late: its two seconds are not those of the twenty above
        going_on.sendall(HEAD + BODY[:10])
        going_on.sendall(BODY[10:])
        assert going_on.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert all(connection.recv(1000).startswith(b"HTTP/1.1 408 ") for connection in slow)
    for connection in slow:
        connection.close()


def test_connections_cut_in_the_middle_of_a_body_leave_nothing_behind(server: Server) -> None:
    for _ in range(20):
        with connect(server) as connection:
            connection.sendall(HEAD + BODY[:10])
            connection.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
            )  # reset, not closed
    gone = 'lifecycle_http_errors_total{code="client_gone",route="/v2/models/{name}/infer"} 20.0'
    server.wait_for(lambda: gone in with_key(server, "/metrics").text or None)
    alone = "lifecycle_http_requests_in_flight 1.0"  # the one that asks
    server.wait_for(lambda: alone in with_key(server, "/metrics").text or None)
    assert "Traceback" not in server.stderr


def test_sigterm_under_load_drops_nothing_that_was_accepted(server: Server) -> None:
    """For a while it says that it is not ready and goes on; who is answered is asked to go elsewhere."""
    with (
        Load(server.url(), "marked", MARKS, clients=3, key=KEY) as kept,
        Load(server.url(), "marked", MARKS, clients=1, key=KEY, reconnect=True) as fresh,
    ):
        server.wait_for(lambda: min(kept.total, fresh.total) > 20 or None)
        server.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        server.wait_for(lambda: ask(server, "/readyz").status_code == 503 or None)
        before = fresh.total
        server.wait_for(lambda: fresh.total > before + 5 or None)
        assert server.wait() == 0
        assert time.monotonic() - began < 30, "within the time of grace"
    assert kept.failures + fresh.failures == []
    assert kept.ended == 3
    assert "Traceback" not in server.stderr
    assert list((server.folder / "tmp").iterdir()) == []
