"""Browsers may ask from other pages only where the settings name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.middleware.cors import CORSMiddleware

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_ASKED = (
    "Authorization",
    "Content-Encoding",
    "Content-Type",
    "Inference-Header-Content-Length",
    "Traceparent",
    "X-API-Key",
    "X-Request-ID",
)
_TOLD = (
    "Inference-Header-Content-Length",
    "Retry-After",
    "X-Model-Digest",
    "X-Model-Version",
    "X-Request-ID",
)


def allow_origins(app: ASGIApp, origins: tuple[str, ...]) -> ASGIApp:
    """The application, for pages of these origins too; cookies play no part.

    Args:
        app: Answers; preflight requests do not reach it.
        origins: ``https://app.example.com``, or ``*`` for any.
    """
    return CORSMiddleware(
        app,
        allow_origins=list(origins),
        allow_methods=["GET", "POST"],
        allow_headers=list(_ASKED),
        expose_headers=list(_TOLD),
        max_age=600,
    )
