"""Models that compute when a test lets them, and tell what they were given."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lifecycle.core.artifact import Artifact
from lifecycle.core.signature import Array
from lifecycle.export.runtime import Model
from lifecycle.serve.batching.batcher import Batcher
from lifecycle.serve.batching.cost import Cost
from lifecycle.serve.batching.options import Batching
from lifecycle.serve.endpoint import Endpoint, open_endpoint


@dataclass
class Recorder:
    """Runs a network, notes each run, and waits first where it is told to.

    Attributes:
        inner: The network.
        sizes: Samples of each run.
        threads: Where each ran.
        gate: Set while runs may go on.
    """

    inner: Model
    sizes: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)

    def __call__(self, arrays: Mapping[str, Array]) -> Sequence[Array]:
        self.sizes.append(len(next(iter(arrays.values()))))
        self.threads.append(threading.get_ident())
        assert self.gate.wait(60)
        return self.inner.runner(arrays)

    def __enter__(self) -> Recorder:
        """Hold every run."""
        self.gate.clear()
        return self

    def __exit__(self, *error: object) -> None:
        self.gate.set()


def recorded(
    bundle: Artifact,
    batching: Batching | None = None,
    *,
    name: str = "m",
    version: str = "1",
    quick: bool = False,
) -> tuple[Endpoint, Recorder]:
    """An endpoint whose runs are noted; a quick one computes on the event loop and cannot be held."""
    opened = open_endpoint(bundle.path, name=name, version=version, threads=1)
    recorder = Recorder(opened.model)
    recorder.gate.set()
    model = Model(signature=opened.signature, format="onnx", runner=recorder)
    joinable = opened.batcher.batch_size > 1
    cost = Cost()
    if quick:
        cost.observe(1, 1e-5)
    batcher = Batcher(model, batching or Batching(), joinable=joinable, cost=cost)
    endpoint = Endpoint(name=name, version=version, digest=opened.digest, model=model, batcher=batcher)
    return endpoint, recorder
