"""A real HTTP server of one file, with and without ranges, that can be told to fail."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What is served, how, and what was asked.

    Attributes:
        content: The file.
        ranges: Whether ``Range`` is understood.
        etag: Of the content.
        fates: What happens to the next requests: a number of bytes after which the connection is closed,
            or a status to answer with; nothing happens to those behind them.
        asked: The ``Range`` and ``If-Range`` of every request.
        gate: Answers wait for it.
    """

    content: bytes
    ranges: bool = True
    etag: str = '"one"'
    fates: list[int | HTTPStatus] = field(default_factory=list)
    asked: list[tuple[str | None, str | None]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    url: str = ""


@contextmanager
def served(content: bytes) -> Iterator[Site]:
    """Serve it at `Site.url` for as long as the context lasts."""
    site = Site(content)
    site.gate.set()

    class Handler(_Handler):
        pass

    Handler.site = site
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}/pictures.tar.gz"
    try:
        yield site
    finally:
        site.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        site = self.site
        wanted, condition = self.headers["Range"], self.headers["If-Range"]
        site.asked.append((wanted, condition))
        site.gate.wait(30)
        fate = site.fates.pop(0) if site.fates else len(site.content)
        if isinstance(fate, HTTPStatus):
            self.send_error(fate)
            return
        start = 0
        if site.ranges and wanted and condition in (None, site.etag):
            found = re.fullmatch(r"bytes=(\d+)-", wanted)
            assert found is not None
            start = int(found[1])
            if start >= len(site.content):
                self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
                self.send_header("Content-Range", f"bytes */{len(site.content)}")
                self.end_headers()
                return
        body = site.content[start:]
        self.send_response(HTTPStatus.PARTIAL_CONTENT if start else HTTPStatus.OK)
        if start:
            end = len(site.content) - 1
            self.send_header("Content-Range", f"bytes {start}-{end}/{len(site.content)}")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", site.etag)
        self.end_headers()
        self.wfile.write(body[:fate])

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""
