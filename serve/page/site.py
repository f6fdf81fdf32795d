"""What people look at: the page at ``/``, the API document and the page that shows it.

Pages are files of this package, sent with a Content-Security-Policy under which a browser loads nothing
from elsewhere and sends nothing elsewhere (https://www.w3.org/TR/CSP3/). They are the same on every server,
so nobody has to bring a key for them; ``/page/models.json`` and ``/docs.json``, which name models, want one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from lifecycle.core.canonical import JSON
from lifecycle.serve.dataplane import DataPlane
from lifecycle.serve.description.about import about
from lifecycle.serve.description.openapi import document
from lifecycle.serve.errors import NotReadyError
from lifecycle.serve.protocol.codec import render_json

if TYPE_CHECKING:
    from starlette.requests import Request

_FILES = (
    *("about.js", "answer.js", "docs.js", "endpoint.js", "files.js", "main.js", "markdown.js", "sheet.js"),
    *("icon.svg", "style.css"),
)
STATIC = frozenset({"/", "/docs", *(f"/page/{name}" for name in _FILES)})
"""Paths that are answered without a key."""
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class Site:
    """Handlers of the pages.

    Args:
        plane: Says what is served.
        version: Of the server program.
    """

    def __init__(self, plane: DataPlane, *, version: str) -> None:
        self._plane = plane
        self._version = version
        pages = files("lifecycle.serve.page").joinpath("static")
        names = ("index.html", "docs.html", *_FILES)
        self._files = {name: pages.joinpath(name).read_bytes() for name in names}

    def table(self) -> list[Route]:
        """Paths and handlers."""
        return [
            Route("/", self._page("index.html")),
            Route("/docs", self._page("docs.html")),
            Route("/docs.json", self.document),
            Route("/page/models.json", self.models),
            Route("/page/{file}", self.file),
        ]

    async def file(self, request: Request) -> Response:
        """A part of a page."""
        name = request.path_params["file"]
        if name not in _FILES:
            raise HTTPException(404)
        return self._send(name, request)

    async def models(self, request: Request) -> Response:
        """What the page knows of the models."""
        if not self._plane.models:
            raise NotReadyError("no model is open yet")
        content: dict[str, JSON] = {"models": [about(endpoint) for endpoint in self._plane.models.values()]}
        return Response(render_json(content), media_type="application/json")

    async def document(self, request: Request) -> Response:
        """The OpenAPI document of the models that are served now."""
        content = document(list(self._plane.models.values()), version=self._version)
        return Response(render_json(content), media_type="application/json")

    def _page(self, name: str) -> Callable[[Request], Awaitable[Response]]:
        async def handler(request: Request) -> Response:
            return self._send(name, request)

        return handler

    def _send(self, name: str, request: Request) -> Response:
        content = self._files[name]
        tag = f'"{sha256(content).hexdigest()[:16]}"'
        headers = {**_HEADERS, "ETag": tag}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=_TYPES[name.rpartition(".")[2]])
