"""How long requests have waited for the event loop before anybody could look at them."""

from __future__ import annotations

import asyncio
from time import perf_counter

from lifecycle.serve.errors import OverloadedError


class Pressure:
    """Notices when one turn of the event loop gets long, and sheds requests before their bodies are parsed.

    All that arrived while the loop was busy is handled in one turn. A request whose turn comes late in it
    has waited since the turn began, and about as long before that, unread in its socket.
    """

    def __init__(self) -> None:
        self._began: float | None = None

    def check(self, deadline_s: float) -> None:
        """Raise `OverloadedError` where a request that is looked at now has waited too long already."""
        now = perf_counter()
        if self._began is None:
            self._began = now
            asyncio.get_running_loop().call_soon(self._end)
            return
        waited = 2 * (now - self._began)
        if waited > deadline_s:
            raise OverloadedError(
                f"requests wait {waited * 1000:.0f} ms to be read, and this one may wait "
                f"{deadline_s * 1000:.0f} ms; try again later",
                retry_after_s=waited,
            )

    def _end(self) -> None:
        self._began = None
