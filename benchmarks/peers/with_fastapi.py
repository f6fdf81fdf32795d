"""FastAPI, pydantic and ONNX Runtime as people write it: a body model, the session in the handler."""

from __future__ import annotations

import sys

import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.peers.session import session

app = FastAPI()
opened = session()


class Tensor(BaseModel):
    """A tensor of the protocol."""

    name: str
    datatype: str
    shape: list[int]
    data: list[float]


class Request(BaseModel):
    """A request of the protocol."""

    inputs: list[Tensor]


class Answer(BaseModel):
    """An answer of the protocol."""

    model_name: str
    model_version: str
    outputs: list[Tensor]


@app.post("/v2/models/model/infer")
async def infer(request: Request) -> Answer:
    """Inference."""
    tensor = request.inputs[0]
    image = np.array(tensor.data, np.float32).reshape(tensor.shape)
    (logits,) = opened.run(None, {"image": image})
    output = Tensor(name="logits", datatype="FP32", shape=list(logits.shape), data=logits.ravel().tolist())
    return Answer(model_name="model", model_version="1", outputs=[output])


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False)
