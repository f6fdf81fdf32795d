"""What answers requests, whatever protocol they came by: find the model, check the arrays, run them."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping

from lifecycle.core.signature import Array
from lifecycle.serve.batching.waiting import Gone
from lifecycle.serve.endpoint import Endpoint
from lifecycle.serve.errors import NotReadyError, RequestError, UnknownError
from lifecycle.serve.protocol.codec import describe, names_of


class DataPlane:
    """Holds the endpoints that answer now.

    A handler asks for the endpoint once its body is read and uses that one to the end, without waiting in
    between: a request is answered by one version, and none is retired between `find` and `run`.

    Attributes:
        models: The endpoint that answers now, by name.
    """

    def __init__(self) -> None:
        self.models: dict[str, Endpoint] = {}

    @property
    def only(self) -> Endpoint | None:
        """The endpoint, where there is just one."""
        return next(iter(self.models.values())) if len(self.models) == 1 else None

    def find(self, name: str | None = None, version: str | None = None) -> Endpoint:
        """The endpoint of a name and version.

        Args:
            name: None for the only one.
            version: None for the one that answers now.

        Raises:
            UnknownError: it is not here; says what is.
            RequestError: no name is given, and several models are here.
            NotReadyError: nothing is here.
        """
        if not self.models:
            raise NotReadyError("no model is open yet")
        if name is None:
            endpoint, *others = self.models.values()
            if others:
                several = f"this server has several models, {names_of(self.models)}"
                raise RequestError(f"{several}; name one: /v2/models/NAME/infer or /predict?model=NAME")
        elif name in self.models:
            endpoint = self.models[name]
        else:
            raise UnknownError(f"no model {describe(name)} here; this server has {names_of(self.models)}")
        if version is not None and version != endpoint.version:
            got = f"no version {describe(version)} of model {endpoint.name!r} here"
            raise UnknownError(f"{got}; this server has {endpoint.version!r}")
        return endpoint

    def put(self, endpoint: Endpoint) -> Endpoint | None:
        """From now on this one answers under its name; returns the one that did before, to be retired."""
        before = self.models.get(endpoint.name)
        self.models[endpoint.name] = endpoint
        return before

    def run(
        self,
        endpoint: Endpoint,
        arrays: Mapping[str, Array],
        *,
        deadline_s: float | None = None,
        gone: Gone | None = None,
    ) -> Awaitable[dict[str, Array]]:
        """Outputs by name, to be awaited.

        Args:
            endpoint: From `find`.
            arrays: Inputs by name, checked against the signature before they wait for their turn.
            deadline_s: How long they may wait, where that is sooner than the model's own deadline.
            gone: Returns once nobody waits for the answer any more.

        Raises:
            UsageError: the arrays are not what the signature declares.
            OverloadedError: they would wait too long.
            ModelFailedError: the network fails on these values.
            GoneError: nobody waits for the answer any more.
        """
        checked = endpoint.model.check(arrays)
        return endpoint.batcher.run(checked, deadline_s=deadline_s, gone=gone)

    async def retire(self, endpoint: Endpoint) -> None:
        """Wait until what the endpoint accepted is answered, then free its thread.

        The session's memory is given back with the last reference to the endpoint.
        """
        await endpoint.batcher.drain()
        endpoint.batcher.close()

    def close(self) -> None:
        """Answer what was accepted, then end the threads."""
        for endpoint in self.models.values():
            endpoint.batcher.close()
        self.models = {}
