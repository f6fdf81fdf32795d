"""One request that waits, and the client that waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from lifecycle.core.signature import Array
from lifecycle.serve.batching.batch import Outputs
from lifecycle.serve.errors import GoneError

Gone = Callable[[], Awaitable[object]]


@dataclass(slots=True, kw_only=True, eq=False)
class Waiting:
    """One request that waits for its turn.

    Attributes:
        arrays: Inputs by name, checked.
        size: Samples, the length of the first axis.
        key: Requests of the same key can be computed together; None for one that cannot.
        arrived: When it was accepted, by `time.perf_counter`.
        deadline: When it is too late to begin.
        future: Its outputs, or why there are none; cancelled when nobody waits for them any more.
    """

    arrays: Mapping[str, Array]
    size: int
    key: object
    arrived: float
    deadline: float
    future: asyncio.Future[Outputs]


async def answer_of(waiting: Waiting, gone: Gone | None) -> Outputs:
    """The outputs, once they are there.

    Args:
        waiting: The request; it is cancelled when the caller is, and when the client is gone.
        gone: Returns once the client is.

    Raises:
        GoneError: the client went away first.
    """
    if gone is None:
        return await waiting.future
    watch = asyncio.ensure_future(gone())
    watch.add_done_callback(lambda _: waiting.future.cancel())
    try:
        return await waiting.future
    except asyncio.CancelledError:
        if watch.done() and not watch.cancelled():
            raise GoneError("the client went away before its turn came") from None
        raise
    finally:
        watch.cancel()
