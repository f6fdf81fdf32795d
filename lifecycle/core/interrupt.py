"""Remembers that somebody asked to stop.

A signal is raised as an exception wherever the program happens to be, and libraries in the middle of an
import turn it into errors of their own: what was asked for must not depend on that.
"""

from __future__ import annotations

import signal
from types import FrameType

_received: list[int] = []


class Terminated(BaseException):
    """SIGTERM arrived; raised so that statuses are set and drafts removed on the way out."""


def listen() -> None:
    """Handle SIGINT and SIGTERM from now on: the first is raised, a second disturbs no cleaning up."""
    _received.clear()
    signal.signal(signal.SIGINT, _handle)
    signal.signal(signal.SIGTERM, _handle)


def received() -> int | None:
    """The signal that arrived, or None."""
    return _received[0] if _received else None


def check() -> None:
    """Raise again what a library may have swallowed; called between pieces of work."""
    if _received:
        raise Terminated if _received[0] == signal.SIGTERM else KeyboardInterrupt


def _handle(number: int, frame: FrameType | None) -> None:
    first = not _received
    _received.append(number)
    if first:
        check()
