"""What answers requests, whatever protocol they came by: find the model, check the arrays, run them.

The network runs on a few threads of its own, so that the event loop goes on reading and answering
(ONNX Runtime releases the interpreter lock); how many requests may wait for a thread is bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from lifecycle.core.errors import LifecycleError, UsageError
from lifecycle.core.signature import Array
from lifecycle.serve.codec import describe
from lifecycle.serve.endpoint import Endpoint
from lifecycle.serve.errors import ModelFailedError, NotReadyError, OverloadedError, UnknownError

WAITING_LIMIT = 256


class DataPlane:
    """Holds the endpoint that answers now, and the threads that compute.

    A handler asks for the endpoint once and uses that one to the end: a request is answered by one version.

    Attributes:
        current: Answers now; None until a model is open.
        accepted: How many requests are computed or wait for it.

    Args:
        threads: How many requests are computed at once.
        waiting_limit: How many more may wait; those beyond are refused at once.
    """

    def __init__(self, *, threads: int = 1, waiting_limit: int = WAITING_LIMIT) -> None:
        self.current: Endpoint | None = None
        self.executor = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="inference")
        self._limit = threads + waiting_limit
        self.accepted = 0

    def find(self, name: str | None = None, version: str | None = None) -> Endpoint:
        """The endpoint of a name and version; None for whichever is here.

        Raises:
            UnknownError: it is not here; says what is.
            NotReadyError: nothing is.
        """
        endpoint = self.current
        if endpoint is None:
            raise NotReadyError("no model is open yet")
        if name is not None and name != endpoint.name:
            raise UnknownError(f"no model {describe(name)} here; this server has {endpoint.name!r}")
        if version is not None and version != endpoint.version:
            got = f"no version {describe(version)} of model {endpoint.name!r} here"
            raise UnknownError(f"{got}; this server has {endpoint.version!r}")
        return endpoint

    async def run(self, endpoint: Endpoint, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name.

        Args:
            endpoint: From `find`.
            arrays: Inputs by name, checked against the signature before they wait for a thread.

        Raises:
            UsageError: the arrays are not what the signature declares.
            OverloadedError: too many requests wait already.
            ModelFailedError: the network fails on these values.
        """
        endpoint.signature.check(arrays)
        if self.accepted >= self._limit:
            raise OverloadedError(f"{self.accepted} requests are in work already; try again in a second")
        self.accepted += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self.executor, endpoint.model.run, arrays)
        except UsageError:
            raise
        except LifecycleError as error:
            raise ModelFailedError(error.message) from error
        finally:
            self.accepted -= 1

    def close(self) -> None:
        """Answer what was accepted, then end the threads."""
        self.executor.shutdown(wait=True)
        self.current = None
