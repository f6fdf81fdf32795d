"""The HTTP side: paths, methods, headers and statuses; what is behind them is the data plane's.

========================================  =======================================================
``GET /livez /readyz``                    probes
``GET /metrics``                          what was counted, for Prometheus
``POST /predict``                         rows of numbers in, labels and probabilities out
``GET /v2``, ``/v2/health/live|ready``    Open Inference Protocol: server
``GET /v2/models/NAME[/versions/V]``      the same: model, with ``/ready`` below each
``POST …/infer``                          the same: inference
========================================  =======================================================

Every answer carries ``X-Request-ID``, and ``X-Model-Version`` and ``X-Model-Digest`` of the model behind it.
"""

from __future__ import annotations

import importlib.metadata
import time
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from lifecycle.core.errors import LifecycleError
from lifecycle.serve import oip, rows
from lifecycle.serve.codec import Parsed, parse_json, render_json
from lifecycle.serve.dataplane import DataPlane
from lifecycle.serve.endpoint import Endpoint
from lifecycle.serve.errors import NotReadyError, OverloadedError, UnknownError, code_of
from lifecycle.serve.guard import RequestId, read_json_body
from lifecycle.serve.leaving import Leaving

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import ASGIApp

DISTRIBUTION = "model-lifecycle"


class Routes:
    """Handlers over one data plane.

    Args:
        plane: Answers what was read.
        body_limit_bytes: Longest body that is read.
        timeout_s: Seconds that a client may take to send it.
        about: What else is known of a model, by its name; None where that is nothing.
        leaving: Whether this worker was told to end.
        metrics: Writes the page of metrics as an ``Accept`` header asks for it; and its media type.
    """

    def __init__(
        self,
        plane: DataPlane,
        *,
        body_limit_bytes: int,
        timeout_s: float,
        about: Callable[[str], Mapping[str, object] | None] = lambda name: None,
        leaving: Leaving | None = None,
        metrics: Callable[[str], tuple[bytes, str]] | None = None,
    ) -> None:
        self._plane = plane
        self._about = about
        self._leaving = leaving or Leaving()
        self._metrics = metrics
        self._body_limit_bytes = body_limit_bytes
        self._timeout_s = timeout_s
        self._version = _server_version()

    def app(self, guard: Callable[[ASGIApp], ASGIApp] = lambda app: app) -> ASGIApp:
        """The ASGI application; it answers everything of type ``http``.

        Args:
            guard: Put before it; requests have an id by then.
        """
        handlers = {
            LifecycleError: self._refused,
            HTTPException: self._no_route,
            ClientDisconnect: _gone,
            Exception: self._failed,
        }
        # An exception handler is typed as taking any Exception, and these take the one they stand for.
        app = Starlette(routes=self._table(), exception_handlers=handlers)  # type: ignore[arg-type]
        app.router.redirect_slashes = False
        return RequestId(guard(app))

    def _table(self) -> list[Route]:
        model = "/v2/models/{name}"
        version = model + "/versions/{version}"
        return [
            Route("/livez", self.live),
            Route("/readyz", self.ready),
            Route("/metrics", self.metrics),
            Route("/predict", self.predict, methods=["POST"]),
            Route("/v2", self.server),
            Route("/v2/", self.server),
            Route("/v2/health/live", self.live),
            Route("/v2/health/ready", self.ready),
            *(Route(path, self.model) for path in (model, version)),
            *(Route(path + "/ready", self.model_ready) for path in (model, version)),
            *(Route(path + "/infer", self.infer, methods=["POST"]) for path in (model, version)),
        ]

    async def live(self, request: Request) -> Response:
        """The process answers."""
        return self._answer({"live": True}, self._only())

    async def ready(self, request: Request) -> Response:
        """A model is open."""
        if self._leaving.begun:
            raise NotReadyError("this server is about to end")
        if not self._plane.models:
            raise NotReadyError("no model is open yet")
        return self._answer({"ready": True}, self._only())

    async def server(self, request: Request) -> Response:
        """What this server is."""
        return self._answer(oip.server_metadata(self._version), self._only())

    async def model(self, request: Request) -> Response:
        """What the model takes and gives."""
        endpoint = self._find(request)
        content = oip.model_metadata(endpoint)
        following = self._about(endpoint.name)
        return self._answer(content | ({"following": following} if following else {}), endpoint)

    async def model_ready(self, request: Request) -> Response:
        """This model, and this version where one is named, is open."""
        endpoint = self._find(request)
        return self._answer({"name": endpoint.name, "ready": True}, endpoint)

    async def infer(self, request: Request) -> Response:
        """Inference by the protocol."""
        self._find(request)  # nobody is to send a body for nothing
        content = await self._json(request)
        endpoint = self._find(request)
        asked = oip.decode_request(content, endpoint.signature)
        arrays = await self._plane.run(endpoint, asked.arrays)
        return self._answer(oip.encode_answer(endpoint, asked, arrays), endpoint)

    async def predict(self, request: Request) -> Response:
        """Inference for people."""
        self._plane.find()
        content = await self._json(request)
        endpoint = self._plane.find()
        started = time.perf_counter()
        arrays = rows.decode_rows(content, endpoint.signature)
        outputs = await self._plane.run(endpoint, arrays)
        answer = {
            "predictions": rows.predictions(outputs, endpoint.signature),
            "model_name": endpoint.name,
            "model_version": endpoint.version,
            "digest": endpoint.digest,
            "latency_ms": round((time.perf_counter() - started) * 1000, 3),
        }
        return self._answer(answer, endpoint)

    async def metrics(self, request: Request) -> Response:
        """What was counted, for Prometheus."""
        if self._metrics is None:
            raise UnknownError("nothing is counted here")
        page, media_type = self._metrics(request.headers.get("accept", ""))
        return Response(page, headers={"Content-Type": media_type})

    def _only(self) -> Endpoint | None:
        """The endpoint, where there is no other."""
        endpoints = list(self._plane.models.values())
        return endpoints[0] if len(endpoints) == 1 else None

    def _find(self, request: Request) -> Endpoint:
        return self._plane.find(request.path_params["name"], request.path_params.get("version"))

    async def _json(self, request: Request) -> Parsed:
        body = await read_json_body(request, limit_bytes=self._body_limit_bytes, timeout_s=self._timeout_s)
        return parse_json(body)

    async def _refused(self, request: Request, error: LifecycleError) -> Response:
        headers = {"Retry-After": "1"} if isinstance(error, OverloadedError) else {}
        return self._error(request, error.http_status, code_of(error), str(error), headers)

    async def _no_route(self, request: Request, error: HTTPException) -> Response:
        path = request.url.path[:200]
        if error.status_code == 405:
            allowed = ", ".join(sorted((error.headers or {}).get("Allow", "").split(", ")))
            text = f"{request.method} {path} is not served; allowed: {allowed}"
            return self._error(request, 405, "method_not_allowed", text, {"Allow": allowed})
        text = f"no route {path}; try /v2, /v2/models/NAME, /predict, /livez or /readyz"
        return self._error(request, error.status_code, "not_found", text, error.headers or {})

    async def _failed(self, request: Request, error: Exception) -> Response:
        """A bug of ours; the text stays in the log, found by the request's id."""
        text = "internal error; the server's log has it under this request_id"
        return self._error(request, 500, "internal", text, {})

    def _error(
        self, request: Request, status: int, code: str, text: str, headers: Mapping[str, str]
    ) -> Response:
        request.state.code = code  # for who counts and logs
        content = {"error": text, "code": code, "request_id": request.state.request_id}
        return self._answer(content, self._only(), status, headers)

    def _answer(
        self,
        content: object,
        endpoint: Endpoint | None,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        given = dict(headers or {})
        if endpoint is not None:
            given |= {"X-Model-Version": endpoint.version, "X-Model-Digest": endpoint.digest}
        return Response(render_json(content), status, given, media_type="application/json")


async def _gone(request: Request, error: ClientDisconnect) -> Response:
    """Nobody is there to read it."""
    return Response(status_code=400)


def _server_version() -> str:
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:  # run from a source tree
        return "0"
