"""Requests and answers of the protocol, and the routes without a socket."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import numpy as np

from lifecycle.core.artifact import Artifact
from lifecycle.serve.batching.options import Batching
from lifecycle.serve.body import BodyLimits
from lifecycle.serve.dataplane import DataPlane
from lifecycle.serve.endpoint import open_endpoint
from lifecycle.serve.protocol.codec import DATATYPES
from lifecycle.serve.routes import Routes

INFER = "/v2/models/digits/infer"
IMAGES = np.random.default_rng(1).integers(0, 17, (3, 1, 8, 8), np.uint8)


def tensor(images: np.ndarray = IMAGES, **changes: Any) -> dict[str, Any]:
    """The input of a request; None takes a field out."""
    fields = {
        "name": "image",
        "shape": list(images.shape),
        "datatype": "UINT8",
        "data": images.ravel().tolist(),
    }
    return {name: value for name, value in (fields | changes).items() if value is not None}


def infer(client: httpx.Client, *tensors: dict[str, Any], **fields: Any) -> httpx.Response:
    return client.post(INFER, json={"inputs": list(tensors), **fields})


def array(output: dict[str, Any]) -> np.ndarray:
    assert len(output["data"]) == np.prod(output["shape"])
    return np.array(output["data"], DATATYPES[output["datatype"]]).reshape(output["shape"])


class Local:
    """The routes over a model of a test's own, without a socket."""

    def __init__(self, plane: DataPlane) -> None:
        self.plane = plane
        self._app = Routes(plane, BodyLimits(body_bytes=10_000, timeout_s=30)).app()

    def open(self, bundle: Artifact) -> Local:
        batching = Batching(queue_limit=1)
        endpoint = open_endpoint(bundle.path, name="m", version="1", threads=1, batching=batching)
        self.plane.put(endpoint)
        return self

    def post(self, path: str, content: Any) -> httpx.Response:
        return asyncio.run(self.send("POST", path, json=content))

    def send_bytes(self, path: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        return asyncio.run(self.send("POST", path, content=body, headers=headers))

    def get(self, path: str) -> httpx.Response:
        return asyncio.run(self.send("GET", path))

    async def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self._app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **options)
