"""``POST /v2/models/NAME[/versions/V]/infer``, over plain ASGI: the path that most requests take.

Routing, request and response objects of a framework cost more than a small network (ADR-0011), so this one
route does without. `Front` finds it by its path; it answers through a router just the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from lifecycle.core.errors import LifecycleError, UsageError
from lifecycle.core.signature import Array
from lifecycle.serve.answers import (
    INTERNAL,
    JSON_TYPE,
    Headers,
    encoded,
    error_content,
    model_headers,
    refusal,
    send_answer,
)
from lifecycle.serve.body import Bodies, Body, disconnected
from lifecycle.serve.compression import folded
from lifecycle.serve.dataplane import DataPlane
from lifecycle.serve.endpoint import Endpoint
from lifecycle.serve.errors import GoneError, OverloadedError
from lifecycle.serve.guard import ID_HEADER, check_json, identify, log_failure
from lifecycle.serve.pressure import Pressure
from lifecycle.serve.protocol import oip
from lifecycle.serve.protocol.binary import HEADER
from lifecycle.serve.protocol.codec import render_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

PREFIX, SUFFIX = "/v2/models/", "/infer"
ROUTE = PREFIX + "{name}" + SUFFIX
VERSION_ROUTE = PREFIX + "{name}/versions/{version}" + SUFFIX
TIMEOUT = "X-Timeout-Us"
# The second is what clients say that say nothing; without the header that divides it, a body is JSON.
_READ = (b"application/json", b"application/octet-stream")
_BINARY_TYPE = (b"content-type", b"application/octet-stream")
_HEADER = HEADER.lower().encode()
_TIMEOUT = TIMEOUT.lower().encode()


class Front:
    """Inference goes to one application by its path alone, everything else to the one behind."""

    def __init__(self, inference: Inference, behind: ASGIApp) -> None:
        self._inference = inference
        self._behind = behind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope["path"]
        if scope["method"] == "POST" and path.startswith(PREFIX) and path.endswith(SUFFIX):
            name, *more = path[len(PREFIX) : -len(SUFFIX)].split("/")
            if not more:
                scope["route"], scope["path_params"] = ROUTE, {"name": name}
                return await self._inference(scope, receive, send)
            if len(more) == 2 and more[0] == "versions":
                scope["route"], scope["path_params"] = VERSION_ROUTE, {"name": name, "version": more[1]}
                return await self._inference(scope, receive, send)
        await self._behind(scope, receive, send)


class Inference:
    """Answers one route.

    Args:
        plane: Computes.
        bodies: Reads.
        pressure: Sheds.
    """

    def __init__(self, plane: DataPlane, bodies: Bodies, pressure: Pressure) -> None:
        self._plane = plane
        self._bodies = bodies
        self._pressure = pressure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = dict(scope["headers"])
        request_id = identify(scope, headers.get(ID_HEADER))
        body: Body | None = None
        endpoint: Endpoint | None = None
        path = scope["path_params"]
        name, version = path["name"], path.get("version")
        try:
            endpoint = self._plane.find(name, version)  # nobody is to send a body for nothing
            timeout_s = _timeout_s(headers)
            json_size = _json_size(headers)
            body = await self._bodies.read(headers, receive, tail_at=json_size or 0)
            self._shed(endpoint, timeout_s)
            if self._plane.models.get(name) is not endpoint:  # another version came with the body
                endpoint = self._plane.find(name, version)
            asked = _decode(body.content, json_size, endpoint)
            deadline_s = _sooner(timeout_s, asked.timeout_s)
            outputs = await self._plane.run(
                endpoint, asked.arrays, deadline_s=deadline_s, gone=lambda: disconnected(receive)
            )
            status, given, content = 200, *_encode(endpoint, asked, outputs)
        except LifecycleError as error:
            status, given, content = self._refusal(scope, endpoint, error)
            if isinstance(error, GoneError):
                return
        except ClientDisconnect:
            scope["state"]["code"] = GoneError.code
            return
        except Exception:
            log_failure(scope)
            answer = error_content(scope, "internal", INTERNAL)
            status, given, content = 500, self._error_headers(endpoint, {}), render_json(answer)
        finally:
            if body is not None:
                body.release()
        given.append((ID_HEADER, request_id))
        if b"accept-encoding" in headers:
            content = folded(headers[b"accept-encoding"], given, content)
        await send_answer(send, status, given, content)

    def _shed(self, endpoint: Endpoint, timeout_s: float | None) -> None:
        try:
            self._pressure.check(timeout_s or endpoint.batcher.deadline_s)
        except OverloadedError:
            endpoint.batcher.refused()
            raise

    def _refusal(
        self, scope: Scope, endpoint: Endpoint | None, error: LifecycleError
    ) -> tuple[int, Headers, bytes]:
        status, extra, answer = refusal(scope, error)
        return status, self._error_headers(endpoint, extra), render_json(answer)

    def _error_headers(self, endpoint: Endpoint | None, extra: Mapping[str, str]) -> Headers:
        return [JSON_TYPE, *encoded({**extra, **model_headers(endpoint or self._plane.only)})]


def _decode(content: memoryview, json_size: int | None, endpoint: Endpoint) -> oip.InferRequest:
    text, tail = content, content[:0]
    if json_size is not None:
        if json_size > len(content):
            raise UsageError(f"{HEADER} is {json_size}, but the body has only {len(content)} bytes")
        text, tail = content[:json_size], content[json_size:]
    return endpoint.decoder.decode_text(bytes(text), tail)


def _sooner(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _encode(
    endpoint: Endpoint, asked: oip.InferRequest, outputs: Mapping[str, Array]
) -> tuple[Headers, bytes]:
    answer, tail = oip.encode_answer(endpoint, asked, outputs)
    content = render_json(answer)
    headers = list(endpoint.headers)
    if not tail:
        headers.append(JSON_TYPE)
        return headers, content
    headers += [_BINARY_TYPE, (_HEADER, b"%d" % len(content))]
    return headers, b"".join([content, *tail])


def _json_size(headers: Mapping[bytes, bytes]) -> int | None:
    """Where the JSON ends and binary tensors begin; None where the body is JSON alone.

    Raises:
        MediaTypeError: the body is said to be something else than JSON.
        UsageError: the header is no number of bytes.
    """
    stated = headers.get(_HEADER)
    if stated is not None:
        if not stated.isdigit() or len(stated) > 18:
            raise UsageError(f"{HEADER}: expected a number of bytes, got {stated[:40].decode('latin-1')!r}")
        return int(stated)
    media_type = headers.get(b"content-type", b"application/json")
    if media_type not in _READ:
        check_json(media_type.decode("latin-1"))
    return None


def _timeout_s(headers: Mapping[bytes, bytes]) -> float | None:
    stated = headers.get(_TIMEOUT)
    if stated is None:
        return None
    if not stated.isdigit() or len(stated) > 18 or not int(stated):
        raise UsageError(f"{TIMEOUT}: expected microseconds, got {stated[:40].decode('latin-1')!r}")
    return int(stated) / 1e6
