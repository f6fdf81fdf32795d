"""The HTTP side: paths, methods, headers and statuses; what is behind them is the data plane's.

========================================  =======================================================
``GET /livez /readyz``                    probes
``GET /metrics``                          what was counted, for Prometheus
``GET /``, ``/docs``, ``/docs.json``      pages to try the model and to read how it is asked
``POST /predict``                         rows, an array or images in, labels and probabilities out
``GET /v2``, ``/v2/health/live|ready``    Open Inference Protocol: server
``GET /v2/models/NAME[/versions/V]``      the same: model, with ``/ready`` below each
``POST …/infer``                          the same: inference (`lifecycle.serve.inference`)
``GET …/stats``, ``/v2/models/stats``     the same: statistics, of all workers together
========================================  =======================================================

Every answer carries ``X-Request-ID``, and ``X-Model-Version`` and ``X-Model-Digest`` of the model behind it.
"""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from lifecycle.core.errors import LifecycleError
from lifecycle.serve.answers import INTERNAL, error_content, model_headers, refusal
from lifecycle.serve.body import Bodies, BodyLimits
from lifecycle.serve.compression import Compressed
from lifecycle.serve.dataplane import DataPlane
from lifecycle.serve.endpoint import Endpoint
from lifecycle.serve.errors import NotReadyError, UnknownError
from lifecycle.serve.guard import RequestId
from lifecycle.serve.inference import Front, Inference
from lifecycle.serve.observability.reckoning import Reckoning
from lifecycle.serve.page.site import Site
from lifecycle.serve.predict.predictions import Predictions
from lifecycle.serve.pressure import Pressure
from lifecycle.serve.processes.leaving import Leaving
from lifecycle.serve.protocol import oip
from lifecycle.serve.protocol.codec import render_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import ASGIApp

DISTRIBUTION = "model-lifecycle"


class Routes:
    """Handlers over one data plane.

    Args:
        plane: Answers what was read.
        limits: Of bodies.
        reckoning: Adds up the workers' statistics; by default of this one alone.
        about: What else is known of a model, by its name; None where that is nothing.
        leaving: Whether this worker was told to end.
        metrics: Writes the page of metrics as an ``Accept`` header asks for it; and its media type.
    """

    def __init__(
        self,
        plane: DataPlane,
        limits: BodyLimits,
        reckoning: Reckoning | None = None,
        *,
        about: Callable[[str], Mapping[str, object] | None] = lambda name: None,
        leaving: Leaving | None = None,
        metrics: Callable[[str], tuple[bytes, str]] | None = None,
    ) -> None:
        self._plane = plane
        self._bodies = Bodies(limits)
        self._pressure = Pressure()
        self._reckoning = reckoning or Reckoning(plane)
        self._inference = Inference(plane, self._bodies, self._pressure)
        self._about = about
        self._leaving = leaving or Leaving()
        self._metrics = metrics
        self._version = _server_version()
        self._people = Predictions(plane, self._bodies, self._pressure)
        self._site = Site(plane, version=self._version)

    def app(self, guard: Callable[[ASGIApp], ASGIApp] = lambda app: app) -> ASGIApp:
        """The ASGI application; it answers everything of type ``http``.

        Args:
            guard: Put before it; what it refuses it answers itself.
        """
        handlers = {
            LifecycleError: self._refused,
            HTTPException: self._no_route,
            ClientDisconnect: _gone,
            Exception: self._failed,
        }
        # An exception handler is typed as taking any Exception, and these take the one they stand for.
        app = Starlette(routes=self.table(), exception_handlers=handlers)  # type: ignore[arg-type]
        app.router.redirect_slashes = False
        return guard(Front(self._inference, RequestId(Compressed(app))))

    def table(self) -> list[Route]:
        """Paths, methods and who answers."""
        model = "/v2/models/{name}"
        version = model + "/versions/{version}"
        return [
            Route("/livez", self.live),
            Route("/readyz", self.ready),
            *self._site.table(),
            Route("/metrics", self.metrics),
            Route("/predict", self.predict, methods=["POST"]),
            Route("/v2", self.server),
            Route("/v2/", self.server),
            Route("/v2/health/live", self.live),
            Route("/v2/health/ready", self.ready),
            Route("/v2/models/stats", self.all_statistics),
            *(Route(path, self.model) for path in (model, version)),
            *(Route(path + "/ready", self.model_ready) for path in (model, version)),
            *(Route(path + "/stats", self.statistics) for path in (model, version)),
            *(Route(path + "/infer", self._inference, methods=["POST"]) for path in (model, version)),
        ]

    async def live(self, request: Request) -> Response:
        """The process answers."""
        return self._answer({"live": True}, self._plane.only)

    async def ready(self, request: Request) -> Response:
        """A model is open."""
        if self._leaving.begun:
            raise NotReadyError("this server is about to end")
        if not self._plane.models:
            raise NotReadyError("no model is open yet")
        return self._answer({"ready": True}, self._plane.only)

    async def server(self, request: Request) -> Response:
        """What this server is."""
        return self._answer(oip.server_metadata(self._version), self._plane.only)

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

    async def statistics(self, request: Request) -> Response:
        """What this version of the model did so far."""
        endpoint = self._find(request)
        return self._answer({"model_stats": [self._reckoning.statistics(endpoint)]}, endpoint)

    async def all_statistics(self, request: Request) -> Response:
        """The same of every model."""
        found = [self._reckoning.statistics(endpoint) for endpoint in self._plane.models.values()]
        return self._answer({"model_stats": found}, self._plane.only)

    async def predict(self, request: Request) -> Response:
        """Inference for people."""
        content, endpoint = await self._people.answer(request)
        return self._answer(content, endpoint)

    async def metrics(self, request: Request) -> Response:
        """What was counted, for Prometheus."""
        if self._metrics is None:
            raise UnknownError("nothing is counted here")
        page, media_type = self._metrics(request.headers.get("accept", ""))
        return Response(page, headers={"Content-Type": media_type})

    def _find(self, request: Request) -> Endpoint:
        return self._plane.find(request.path_params["name"], request.path_params.get("version"))

    async def _refused(self, request: Request, error: LifecycleError) -> Response:
        status, headers, content = refusal(request.scope, error)
        return self._answer(content, self._plane.only, status, headers)

    async def _no_route(self, request: Request, error: HTTPException) -> Response:
        path = request.url.path[:200]
        if error.status_code == 405:
            allowed = ", ".join(sorted((error.headers or {}).get("Allow", "").split(", ")))
            text = f"{request.method} {path} is not served; allowed: {allowed}"
            return self._error(request, 405, "method_not_allowed", text, {"Allow": allowed})
        text = f"no route {path}; try /docs, /v2, /v2/models/NAME, /predict, /livez or /readyz"
        return self._error(request, error.status_code, "not_found", text, error.headers or {})

    async def _failed(self, request: Request, error: Exception) -> Response:
        """A bug of ours; the text stays in the log, found by the request's id."""
        return self._error(request, 500, "internal", INTERNAL, {})

    def _error(
        self, request: Request, status: int, code: str, text: str, headers: Mapping[str, str]
    ) -> Response:
        content = error_content(request.scope, code, text)
        return self._answer(content, self._plane.only, status, headers)

    def _answer(
        self,
        content: object,
        endpoint: Endpoint | None,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        given = {**(headers or {}), **model_headers(endpoint)}
        return Response(render_json(content), status, given, media_type="application/json")


async def _gone(request: Request, error: ClientDisconnect) -> Response:
    """Nobody is there to read it."""
    return Response(status_code=400)


def _server_version() -> str:
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:  # run from a source tree
        return "0"
