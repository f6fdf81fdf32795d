"""``POST /predict``: the body read, decoded, answered."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from lifecycle.serve.body import Bodies, disconnected
from lifecycle.serve.dataplane import DataPlane
from lifecycle.serve.endpoint import Endpoint
from lifecycle.serve.predict import rows
from lifecycle.serve.predict.images import load_decoders
from lifecycle.serve.predict.uploads import check_media_type, decode_upload
from lifecycle.serve.pressure import Pressure

if TYPE_CHECKING:
    from starlette.requests import Request

JSON_TYPE = "application/json"


class Predictions:
    """Answers ``/predict?model=NAME&version=V``; the model need be named only where there are several.

    Args:
        plane: Finds and runs the model.
        bodies: Reads.
        pressure: Sheds.
    """

    def __init__(self, plane: DataPlane, bodies: Bodies, pressure: Pressure) -> None:
        self._plane = plane
        self._bodies = bodies
        self._pressure = pressure
        # One image at a time: that bounds the memory it takes, and leaves the network its cores.
        self._decoder = ThreadPoolExecutor(max_workers=1, thread_name_prefix="images")
        self._decoder.submit(load_decoders)

    async def answer(self, request: Request) -> tuple[dict[str, object], Endpoint]:
        """Content of the answer, and the endpoint that gave it.

        Raises:
            LifecycleError: what was asked is wrong, or cannot be computed.
            starlette.requests.ClientDisconnect: the client went away.
        """
        content_type = request.headers.get("content-type", JSON_TYPE)
        check_media_type(content_type)
        self._find(request)  # nobody is to send a body for nothing
        body = await self._bodies.read(dict(request.scope["headers"]), request.receive)
        try:
            endpoint = self._find(request)
            self._pressure.check(endpoint.batcher.deadline_s)
            started = time.perf_counter()
            arrays = await decode_upload(
                body.content,
                content_type,
                endpoint.signature,
                self._decoder,
                limit_pixels=self._bodies.limits.image_pixels,
            )
            endpoint = self._find(request)  # a version that came meanwhile has the same signature, or refuses
            outputs = await self._plane.run(endpoint, arrays, gone=lambda: disconnected(request.receive))
        finally:
            body.release()
        content: dict[str, object] = {
            "predictions": rows.predictions(outputs, endpoint.signature),
            "model_name": endpoint.name,
            "model_version": endpoint.version,
            "digest": endpoint.digest,
            "latency_ms": round((time.perf_counter() - started) * 1000, 3),
        }
        return content, endpoint

    def _find(self, request: Request) -> Endpoint:
        return self._plane.find(request.query_params.get("model"), request.query_params.get("version"))
