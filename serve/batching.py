"""Requests wait here for their turn, and are computed together where that is the same as alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from lifecycle.core.errors import LifecycleError, UsageError
from lifecycle.core.signature import Array
from lifecycle.export.runtime import Model
from lifecycle.serve.errors import ModelFailedError, NotReadyError, OverloadedError


@dataclass(frozen=True, kw_only=True)
class Batching:
    """How one model's requests wait and are put together.

    Attributes:
        batch_size: Samples that are computed together at most.
        batch_deadline_s: How long a request may wait for company once the model is free.
        queue_limit: Requests that may wait.
        deadline_s: How long a request may wait for its turn.
    """

    batch_size: int = 32
    batch_deadline_s: float = 0.002
    queue_limit: int = 256
    deadline_s: float = 1.0


class Batcher:
    """The queue of one model and the thread that computes.

    Attributes:
        accepted: Requests that are computed or wait for it.
    """

    def __init__(self, model: Model, batching: Batching) -> None:
        self.accepted = 0
        self.executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inference")
        self._model = model
        self._limit = 1 + batching.queue_limit
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def run(self, arrays: Mapping[str, Array], *, deadline_s: float | None = None) -> dict[str, Array]:
        """Outputs by name of inputs that were checked against the signature.

        Args:
            arrays: Inputs by name.
            deadline_s: How long it may wait for its turn, where that is sooner than the model's own deadline.

        Raises:
            OverloadedError: too many requests wait already.
            NotReadyError: it was closed.
            ModelFailedError: the network fails on these values.
        """
        if self._closed:
            raise NotReadyError("this version of the model is no longer served; try again")
        if self.accepted >= self._limit:
            raise OverloadedError(f"{self.accepted} requests are in work already; try again in a second")
        self.accepted += 1
        self._idle.clear()
        try:
            return await asyncio.get_running_loop().run_in_executor(self.executor, self._model.run, arrays)
        except UsageError:
            raise
        except LifecycleError as error:
            raise ModelFailedError(error.message) from error
        finally:
            self.accepted -= 1
            if not self.accepted:
                self._idle.set()

    async def drain(self) -> None:
        """Wait until everything that was accepted is answered."""
        await self._idle.wait()

    def close(self) -> None:
        """Take nothing more in, compute what was accepted, end the thread."""
        self._closed = True
        self.executor.shutdown(wait=True)
