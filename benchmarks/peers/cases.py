"""The requests that servers are compared on: the model behind them, and their bodies."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

OURS, BENTOML, FASTAPI, STARLETTE = "lifecycle", "BentoML", "FastAPI", "Starlette"
OURS_AS_JSON = "lifecycle, as JSON"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One kind of request.

    Attributes:
        name: As printed.
        shape: Of one image.
        binary: Sent as bytes rather than JSON.
        servers: Those that understand it.
        patience: How many times longer than others it is loaded, as its requests take longer.
    """

    name: str
    shape: tuple[int, ...]
    binary: bool = False
    servers: tuple[str, ...] = (OURS, BENTOML, FASTAPI, STARLETTE)
    patience: int = 1


CASES = (
    Case(name="JSON 1×8×8", shape=(1, 8, 8)),
    Case(name="JSON 3×32×32", shape=(3, 32, 32)),
    Case(
        name="bytes 3×224×224",
        shape=(3, 224, 224),
        binary=True,
        servers=(OURS, STARLETTE, OURS_AS_JSON),
        patience=2,
    ),
)


def write_model(shape: tuple[int, ...], into: Path) -> None:
    """A network so small that the server's own work shows: 8x8 of the pixels, ten classes."""
    import torch
    from torch import nn

    from lifecycle.core.signature import Signature, TensorSpec
    from lifecycle.export.bundle import write_bundle

    torch.manual_seed(0)
    step = shape[-1] // 8

    class Few(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image[:, :, ::step, ::step].flatten(1)

    signature = Signature(
        inputs=(TensorSpec(name="image", dtype="float32", shape=("batch", *shape), range=(0, 1)),),
        outputs=(TensorSpec(name="logits", dtype="float32", shape=("batch", 10)),),
    )
    into.parent.mkdir(parents=True)
    module = nn.Sequential(Few(), nn.Linear(shape[0] * 64, 10)).eval()
    samples = {"image": np.random.default_rng(0).random((2, *shape), np.float32)}
    write_bundle(module, signature=signature, formats=("onnx",), samples=samples, into=into)


def write_body(name: str, case: Case, folder: Path) -> tuple[Path, int | None]:
    """The request for a server, and where its JSON ends if numbers follow."""
    image = np.random.default_rng(0).random((1, *case.shape), np.float32).round(4)
    tensor: dict[str, object] = {"name": "image", "shape": list(image.shape), "datatype": "FP32"}
    body, json_size = b"", None
    numbers = [round(float(number), 4) for number in image.ravel()]
    if name == BENTOML:
        body = json.dumps({"image": np.array(numbers).reshape(image.shape).tolist()}).encode()
    elif case.binary and name != OURS_AS_JSON:
        tensor["parameters"] = {"binary_data_size": image.nbytes}
        head = json.dumps({"inputs": [tensor]}).encode()
        body, json_size = head + image.tobytes(), len(head)
    else:
        body = json.dumps({"inputs": [{**tensor, "data": numbers}]}).encode()
    file = folder / f"{name}.body"
    file.write_bytes(body)
    return file, json_size
