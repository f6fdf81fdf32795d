"""A bare Starlette app on uvicorn, with the batcher that our server has, and hardly a check."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.peers.session import bundle
from lifecycle.serve.endpoint import Endpoint, open_endpoint

opened: list[Endpoint] = []


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Open the model."""
    opened.append(open_endpoint(bundle(), name="model", version="1", threads=1))
    yield


async def infer(request: Request) -> Response:
    """Inference by the protocol, JSON or binary."""
    body = await request.body()
    at = int(request.headers.get("inference-header-content-length", len(body)))
    tensor = orjson.loads(body[:at])["inputs"][0]
    if "data" in tensor:
        image = np.array(tensor["data"], np.float32).reshape(tensor["shape"])
    else:
        image = np.frombuffer(body[at:], np.float32).reshape(tensor["shape"])
    outputs = await opened[0].batcher.run({"image": image})
    answer = {
        "model_name": "model",
        "model_version": "1",
        "outputs": [
            {"name": name, "datatype": "FP32", "shape": list(array.shape), "data": array.ravel()}
            for name, array in outputs.items()
        ],
    }
    content = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(content, media_type="application/json")


app = Starlette(routes=[Route("/v2/models/model/infer", infer, methods=["POST"])], lifespan=lifespan)

if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False)
