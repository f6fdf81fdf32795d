"""One opened version of a model: verified, warmed up, ready to answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lifecycle.core.artifact import open_artifact
from lifecycle.core.errors import ArtifactError, LifecycleError
from lifecycle.core.signature import Signature
from lifecycle.export.runtime import Model, open_model
from lifecycle.serve.batching import Batcher, Batching


@dataclass(frozen=True, kw_only=True, eq=False)
class Endpoint:
    """What answers, and what it calls itself.

    Attributes:
        name: The model's name.
        version: The model's version under that name.
        digest: SHA-256 of the bundle, 64 hexadecimal digits.
        model: Arrays in, arrays out.
        batcher: Where its requests wait; gone once it is retired.
    """

    name: str
    version: str
    digest: str
    model: Model
    batcher: Batcher = field(repr=False)

    @property
    def signature(self) -> Signature:
        """What the model takes and gives."""
        return self.model.signature


_DEFAULT = Batching()


def open_endpoint(
    bundle: Path, *, name: str, version: str, threads: int, batching: Batching = _DEFAULT
) -> Endpoint:
    """Verify a bundle, open its ONNX file, and run it once.

    Args:
        bundle: Folder of the artifact.
        name: What to call the model.
        version: What to call this version of it.
        threads: How many threads one call may use.
        batching: How its requests wait and are put together.

    Raises:
        ArtifactError: the bundle is damaged, or the model cannot be opened or run.
    """
    artifact = open_artifact(bundle, "bundle")
    model = open_model(artifact, "onnx", threads=threads)
    _warm_up(model, bundle)
    batcher = Batcher(model, batching)
    return Endpoint(name=name, version=version, digest=artifact.digest, model=model, batcher=batcher)


def _warm_up(model: Model, bundle: Path) -> None:
    """One sample through the network, so that the first client waits for no allocation.

    Only where limits say which sizes make sense on dynamic axes beside the leading one.
    """
    signature = model.signature
    inner = {axis for spec in signature.inputs for axis in spec.shape[1:] if isinstance(axis, str)}
    if inner - set(signature.axes):
        return
    generator, sizes = np.random.default_rng(0), signature.sizes(1)
    try:
        model.run({spec.name: spec.random(generator, **sizes) for spec in signature.inputs})
    except LifecycleError as error:
        raise ArtifactError(f"{bundle}: the model cannot be run: {error.message}") from error
