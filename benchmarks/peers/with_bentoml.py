"""BentoML's own batching, as its documentation has it."""

from __future__ import annotations

from typing import Annotated

import bentoml
import numpy as np
from bentoml.validators import DType

from benchmarks.peers.session import session

Array = Annotated[np.ndarray, DType("float32")]


@bentoml.service(name="peer", workers=1)
class Peer:
    """One batchable route."""

    def __init__(self) -> None:
        self.session = session()

    @bentoml.api(batchable=True, max_batch_size=32, max_latency_ms=1000)
    def infer(self, image: Array) -> Array:
        """Scores of images, the first axis counts them."""
        return self.session.run(None, {"image": image})[0]
