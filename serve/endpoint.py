"""One opened version of a model: verified, warmed up, ready to answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from lifecycle.core.artifact import open_artifact
from lifecycle.core.canonical import JSON
from lifecycle.core.errors import ArtifactError, LifecycleError
from lifecycle.core.signature import Signature
from lifecycle.export.runtime import Model, open_model
from lifecycle.serve.batching.batcher import Batcher
from lifecycle.serve.batching.listener import Listener
from lifecycle.serve.batching.options import Batching
from lifecycle.serve.batching.probe import probe
from lifecycle.serve.measured import measured_on
from lifecycle.serve.protocol.oip import Decoder


@dataclass(frozen=True, kw_only=True, eq=False)
class Endpoint:
    """What answers, and what it calls itself.

    Attributes:
        name: The model's name.
        version: The model's version under that name.
        digest: SHA-256 of the bundle, 64 hexadecimal digits.
        model: Arrays in, arrays out.
        batcher: Where its requests wait; gone once it is retired.
        measured: What is known of it beside: size, metrics, latency (`measured_on`).
    """

    name: str
    version: str
    digest: str
    model: Model
    batcher: Batcher = field(repr=False)
    measured: Mapping[str, JSON] = field(default_factory=dict, repr=False)

    @cached_property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """What names it in every answer, as ASGI wants it."""
        return ((b"x-model-version", self.version.encode()), (b"x-model-digest", self.digest.encode()))

    @cached_property
    def decoder(self) -> Decoder:
        """Reads requests of the Open Inference Protocol."""
        return Decoder(self.signature)

    @property
    def signature(self) -> Signature:
        """What the model takes and gives."""
        return self.model.signature


_DEFAULT = Batching()


def open_endpoint(
    bundle: Path,
    *,
    name: str,
    version: str,
    threads: int,
    batching: Batching = _DEFAULT,
    listener: Listener | None = None,
) -> Endpoint:
    """Verify a bundle, open its ONNX file, and run it.

    Args:
        bundle: Folder of the artifact.
        name: What to call the model.
        version: What to call this version of it.
        threads: How many threads one call may use.
        batching: How its requests wait and are put together.
        listener: Is told of every batch.

    Raises:
        ArtifactError: the bundle is damaged, or the model cannot be opened or run.
    """
    artifact = open_artifact(bundle, "bundle")
    model = open_model(artifact, "onnx", threads=threads)
    try:
        probed = probe(model)
    except LifecycleError as error:
        raise ArtifactError(f"{bundle}: the model cannot be run: {error.message}") from error
    batcher = Batcher(model, batching, joinable=probed.joinable, cost=probed.cost, listener=listener)
    return Endpoint(
        name=name,
        version=version,
        digest=artifact.digest,
        model=model,
        batcher=batcher,
        measured=measured_on(artifact),
    )
