"""Spans for OpenTelemetry, where they are asked for.

Where they go, and how many, is said as everywhere: ``OTEL_EXPORTER_OTLP_ENDPOINT``, ``OTEL_TRACES_EXPORTER``,
``OTEL_TRACES_SAMPLER``, ``OTEL_SERVICE_NAME``, ``OTEL_PROPAGATORS``
(https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from lifecycle.core.errors import UsageError, suggest
from lifecycle.serve.observability.observed import template

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_GROUP = "opentelemetry_traces_exporter"
_INSTALL = "pip install opentelemetry-exporter-otlp-proto-http"


class Traced:
    """Makes a span of each request, a child of the one that its ``traceparent`` names.

    Args:
        app: Answers.
        provider: From `open_provider`.
    """

    def __init__(self, app: ASGIApp, provider: TracerProvider) -> None:
        self._app = app
        self._tracer = provider.get_tracer("lifecycle.serve")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind, Status, StatusCode

        head: Message = {}

        async def send_traced(message: Message) -> None:
            nonlocal head
            if message["type"] == "http.response.start":
                head = message
            await send(message)

        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        with self._tracer.start_as_current_span(
            scope["method"], context=extract(carrier), kind=SpanKind.SERVER
        ) as span:
            try:
                await self._app(scope, receive, send_traced)
            finally:
                route, status = template(scope), head.get("status")
                span.update_name(f"{scope['method']} {route}")
                span.set_attributes(_attributes(scope, head, route))
                if status is not None and status >= 500:
                    span.set_status(Status(StatusCode.ERROR))


def open_provider(environment: Mapping[str, str] = os.environ) -> TracerProvider:
    """What makes spans and sends them in batches, beside the requests; to be shut down at the end.

    Raises:
        UsageError: what sends them there is not installed.
    """
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = "OTEL_SERVICE_NAME" in environment or "service.name" in environment.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    provider = TracerProvider(resource=Resource.create({} if named else {"service.name": "lifecycle"}))
    provider.add_span_processor(BatchSpanProcessor(find_exporter(environment)()))
    return provider


def find_exporter(environment: Mapping[str, str] = os.environ) -> Callable[[], SpanExporter]:
    """What makes the one that the environment names; raises `UsageError` where that is not installed."""
    name = environment.get("OTEL_TRACES_EXPORTER") or "otlp"
    protocol = environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environment.get(
        "OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"
    )
    wanted = {"otlp": "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"}.get(name, name)
    known = {point.name: point for point in entry_points(group=_GROUP)}
    if wanted not in known:
        raise UsageError(
            f"tracing: no exporter '{wanted}' is installed; {suggest(wanted, known)}",
            hint=f"{_INSTALL}, or choose one of those by OTEL_TRACES_EXPORTER.",
        )
    try:
        import opentelemetry.sdk.trace  # noqa: F401
    except ImportError:
        raise UsageError("tracing: opentelemetry-sdk is not installed", hint=f"{_INSTALL}.") from None
    found: Callable[[], SpanExporter] = known[wanted].load()
    return found


def _attributes(scope: Scope, head: Message, route: str) -> dict[str, str | int]:
    """Names of https://opentelemetry.io/docs/specs/semconv/http/http-spans/, and the model's version."""
    state, headers = scope.get("state", {}), dict(head.get("headers", ()))
    found: dict[str, str | int | None] = {
        "http.request.method": scope["method"],
        "url.path": scope["path"][:200],
        "http.route": route,
        "http.response.status_code": head.get("status"),
        "error.type": state.get("code"),
        "lifecycle.request_id": state.get("request_id"),
        "lifecycle.model.name": scope.get("path_params", {}).get("name"),
        "lifecycle.model.version": headers.get(b"x-model-version", b"").decode() or None,
    }
    return {name: value for name, value in found.items() if value is not None}
