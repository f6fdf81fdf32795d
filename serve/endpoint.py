"""One opened version of a model: verified, warmed up, ready to answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lifecycle.core.artifact import open_artifact
from lifecycle.core.errors import ArtifactError, LifecycleError
from lifecycle.core.signature import Signature
from lifecycle.export.runtime import Model, open_model


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """What answers, and what it calls itself.

    Attributes:
        name: The model's name.
        version: The model's version under that name.
        digest: SHA-256 of the bundle, 64 hexadecimal digits.
        model: Arrays in, arrays out; several threads may run it at once.
    """

    name: str
    version: str
    digest: str
    model: Model

    @property
    def signature(self) -> Signature:
        """What the model takes and gives."""
        return self.model.signature


def open_endpoint(bundle: Path, *, name: str, version: str, threads: int) -> Endpoint:
    """Verify a bundle, open its ONNX file, and run it once.

    Args:
        bundle: Folder of the artifact.
        name: What to call the model.
        version: What to call this version of it.
        threads: How many threads one call may use.

    Raises:
        ArtifactError: the bundle is damaged, or the model cannot be opened or run.
    """
    artifact = open_artifact(bundle, "bundle")
    model = open_model(artifact, "onnx", threads=threads)
    _warm_up(model, bundle)
    return Endpoint(name=name, version=version, digest=artifact.digest, model=model)


def _warm_up(model: Model, bundle: Path) -> None:
    """One sample through the network, so that the first client waits for no allocation.

    Only where the leading axis is the one dynamic axis: what sizes make sense on others is not known here.
    """
    inputs = model.signature.inputs
    if any(isinstance(axis, str) for spec in inputs for axis in spec.shape[1:]):
        return
    generator = np.random.default_rng(0)
    least = model.signature.axes
    leading = (axis for spec in inputs for axis in spec.shape[:1] if isinstance(axis, str))
    batch = {axis: least.get(axis, (1, 1))[0] for axis in leading}
    try:
        model.run({spec.name: spec.random(generator, **batch) for spec in inputs})
    except LifecycleError as error:
        raise ArtifactError(f"{bundle}: the model cannot be run: {error.message}") from error
