"""Downloading a large file over connections that break.

It grows in a ``.part`` file and goes on where that ends, in the next process too, with HTTP's ``Range`` and
``If-Range`` (RFC 9110, sections 13.1.5 and 14.2). A server without them sends the file from its start.
"""

from __future__ import annotations

import http.client
import re
import sys
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from lifecycle.core.errors import LifecycleError

ATTEMPTS = 5  # in a row that bring nothing new
TIMEOUT_S = 30
PIECE_BYTES = 1 << 18
PASSING = {408, 425, 429, 500, 502, 503, 504}  # answers that may be others a moment later


class Part:
    """The beginning of a file, and beside it of which version of the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._version = path.with_name(f"{path.name}.version")

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def begin(self, size: int, version: str) -> None:
        """Keep the first `size` bytes, which are of this version."""
        with self.path.open("ab") as file:
            file.truncate(size)
        self._version.write_text(version)

    def headers(self) -> dict[str, str]:
        """Ask for the rest, if the file is still the same."""
        if not self.size:
            return {}
        version = self._version.read_text() if self._version.is_file() else ""
        return {"Range": f"bytes={self.size}-"} | ({"If-Range": version} if version else {})

    def delete(self) -> None:
        """Leave nothing."""
        self.path.unlink(missing_ok=True)
        self._version.unlink(missing_ok=True)


class BrokenError(Exception):
    """A connection was not made, or ended early: the next one may do better."""


def receive_all(url: str, part: Part, to: Path, pause_s: float) -> None:
    """Ask until everything is there; gives up when several attempts in a row bring nothing new.

    Args:
        url: What to ask for.
        part: Where it goes.
        to: What it is to become, for messages.
        pause_s: Before a second attempt; doubled with each that brings nothing.

    Raises:
        LifecycleError: the server refuses, or there is no getting through to it.
    """
    furthest, failures = part.size, 0
    while True:
        try:
            return receive(url, part, to)
        except BrokenError as error:
            failures = 0 if part.size > furthest else failures + 1
            furthest = max(part.size, furthest)
            if failures == ATTEMPTS:
                raise LifecycleError(
                    f"{url} cannot be downloaded: {error}",
                    hint=f"Run this again: it goes on from the {part.size:,} bytes in {part.path}. "
                    f"Or get the file by other means and put it to {to}.",
                ) from error
            pause = pause_s * 2 ** max(failures - 1, 0)
            say(f"{to.name}: {error}; trying again in {pause:.0f} s")
            time.sleep(pause)


def receive(url: str, part: Part, to: Path) -> None:
    """One request for what is missing, written as it comes."""
    try:
        response = urlopen(Request(url, headers=part.headers()), timeout=TIMEOUT_S)
    except HTTPError as error:
        with error:
            return refused(error, part, to)
    except (OSError, http.client.HTTPException) as error:
        raise BrokenError(reason(error)) from error
    with response:
        # Any other answer than 206 is the whole file: there are no ranges here, or the file has changed.
        given = response.headers["Content-Range"] if response.status == 206 else None
        begun = re.match(r"bytes (\d+)-", given or "")
        start = int(begun[1]) if begun else 0
        if start > part.size:
            raise BrokenError(f"the answer begins at byte {start:,} instead of {part.size:,}")
        total = length_of(given) if given else response.length
        part.begin(start, version_of(response))
        write(response, part, Meter(to.name, start, total))
    if total is not None and part.size < total:
        raise BrokenError(f"the connection ended after {part.size:,} of {total:,} bytes")


def refused(error: HTTPError, part: Part, to: Path) -> None:
    """Nothing is wrong if nothing is missing; else another attempt may help, or none does."""
    if error.code == 416:  # there is nothing behind what was asked for
        if length_of(error.headers["Content-Range"]) == part.size:
            return
        part.begin(0, "")
    elif error.code not in PASSING:
        raise LifecycleError(
            f"{error.url} cannot be downloaded: {error}", hint=f"Get it by other means and put it to {to}."
        ) from error
    raise BrokenError(str(error)) from error


def write(response: http.client.HTTPResponse, part: Part, meter: Meter) -> None:
    """Append a body to a part."""
    with part.path.open("ab") as file:
        try:
            while piece := read(response):
                file.write(piece)
                meter.add(len(piece))
        finally:
            meter.end()


def read(response: http.client.HTTPResponse) -> bytes:
    """What has arrived; nothing at the end, or when the connection was closed."""
    try:
        return response.read1(PIECE_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise BrokenError(reason(error)) from error


def version_of(response: http.client.HTTPResponse) -> str:
    """What ``If-Range`` may compare with: a strong ETag, else the date of the last change."""
    tag = response.headers["ETag"] or ""
    return tag if tag.startswith('"') else response.headers["Last-Modified"] or ""


def length_of(content_range: str | None) -> int | None:
    """The whole file's length: 500 of ``bytes 100-199/500``."""
    found = re.search(r"/(\d+)$", content_range or "")
    return int(found[1]) if found else None


def reason(error: Exception) -> str:
    """An error of the network in words."""
    return str(getattr(error, "reason", "") or error) or type(error).__name__


class Meter:
    """Says how far a download is: in one line on a terminal, now and then in a log."""

    def __init__(self, name: str, done: int, total: int | None) -> None:
        self._name, self._total = name, total
        self._start = self._done = done
        self._terminal = sys.stderr.isatty()
        self._every_s = 0.2 if self._terminal else 5.0
        self._began = time.monotonic()
        self._next = self._began + self._every_s

    def add(self, count: int) -> None:
        """So many bytes more."""
        self._done += count
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self._every_s
            self._show(now)

    def end(self) -> None:
        """Say what it came to."""
        self._show(time.monotonic())
        if self._terminal:
            say("")

    def _show(self, now: float) -> None:
        rate = (self._done - self._start) / max(now - self._began, 1e-3)
        text = progress_text(self._name, self._done, self._total, rate)
        if self._terminal:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        else:
            say(text)


def progress_text(name: str, done: int, total: int | None, rate: float) -> str:
    """How far in bytes, how fast in bytes a second, and how long still."""
    speed = f"{rate / 1e6:.1f} MB/s"
    if total is None:
        return f"{name}: {done / 1e6:.1f} MB, {speed}"
    text = f"{name}: {done / 1e6:.1f} of {total / 1e6:.1f} MB, {speed}"
    if rate <= 0 or done >= total:
        return text
    minutes, seconds = divmod(round((total - done) / rate), 60)
    return f"{text}, {minutes}:{seconds:02} left"


def say(text: str) -> None:
    """One line on standard error."""
    print(text, file=sys.stderr, flush=True)
