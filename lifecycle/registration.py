"""Making a registered version: an MLflow ONNX model that holds bundle, evaluation and checkpoint."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.address import process_address
from lifecycle.core.artifact import Artifact
from lifecycle.core.canonical import JSON, canonical_json
from lifecycle.core.signature import Signature, TensorSpec
from lifecycle.registry import (
    CHECKPOINT,
    DIGEST,
    EVALUATION,
    GATES,
    RUN,
    Version,
    version_of,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.types import Schema


DESCRIPTION = 5000  # characters that MLflow's stores keep of a description


def find_registered(client: MlflowClient, name: str, tags: Mapping[str, str]) -> Version | None:
    """The newest version of a model that carries all these tags, or None."""
    terms = [f"name = '{name}'", *(f"tags.`{key}` = '{value}'" for key, value in tags.items() if value)]
    found = [version_of(item) for item in client.search_model_versions(" AND ".join(terms))]
    return max(
        (version for version in found if all(version.tags.get(key) == value for key, value in tags.items())),
        key=lambda version: version.number,
        default=None,
    )


def identity_of(
    bundle: Artifact, evaluation: Artifact, checkpoint: Artifact, gates: Mapping[str, JSON]
) -> dict[str, str]:
    """The tags by which a version is known again: the same content with the same gates is registered once."""
    return {
        DIGEST: bundle.digest,
        EVALUATION: evaluation.digest,
        CHECKPOINT: checkpoint.digest,
        GATES: canonical_json(gates).decode(),
    }


def register(
    client: MlflowClient,
    name: str,
    *,
    bundle: Artifact,
    evaluation: Artifact,
    checkpoint: Artifact,
    gates: Mapping[str, JSON],
    run_id: str,
    description: str = "",
) -> Version:
    """Register a bundle with its evaluation; the same content with the same gates is registered once.

    Args:
        client: Connected to the registry.
        name: The registered model; made if it is not there.
        bundle: What will be served.
        evaluation: What was measured on it.
        checkpoint: What it was exported from; promotion scores with its code.
        gates: Thresholds of promotion by metric.
        run_id: The run that made it.
        description: What MLflow's pages say of the version, as Markdown of at most `DESCRIPTION` characters.
    """
    from mlflow.exceptions import MlflowException

    identity = identity_of(bundle, evaluation, checkpoint, gates)
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        found = find_registered(client, name, identity)
        if found is not None:
            return found
    return _register_new(client, name, (bundle, evaluation, checkpoint), identity, run_id, description)


def _register_new(
    client: MlflowClient,
    name: str,
    parts: tuple[Artifact, Artifact, Artifact],
    identity: Mapping[str, str],
    run_id: str,
    description: str,
) -> Version:
    """Upload the files as a logged model, then make the version that points to it."""
    experiment = client.get_run(run_id).info.experiment_id
    model = client.create_logged_model(experiment, name=name, source_run_id=run_id, tags=dict(identity))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "model"
        write_mlflow_model(parts, root)
        client.log_model_artifacts(model.model_id, str(root))
    client.finalize_logged_model(model.model_id, "READY")
    with process_address(client):
        made = client.create_model_version(
            name,
            source=f"models:/{model.model_id}",
            run_id=run_id,
            tags={**_measured(parts[1]), **identity, RUN: run_id},
            model_id=model.model_id,
            description=description or None,
        )
    return version_of(made)


def write_mlflow_model(parts: tuple[Artifact, ...], into: Path) -> None:
    """An MLflow ONNX model folder with signature and example, our artifacts beside its files.

    Args:
        parts: The bundle, then what else is to travel with it.
        into: The folder.
    """
    import mlflow.onnx
    import numpy as np
    import onnx
    from mlflow.models import ModelSignature

    bundle = parts[0]
    signature = Signature.from_json(bundle.read_json("signature.json"))

    generator = np.random.default_rng(0)
    sizes = signature.sizes(1)
    example = {spec.name: spec.random(generator, **sizes) for spec in signature.inputs}
    mlflow.onnx.save_model(
        onnx.load(str(bundle.file("model.onnx"))),
        str(into),
        signature=ModelSignature(inputs=_schema(signature.inputs), outputs=_schema(signature.outputs)),
        input_example=example,
        pip_requirements=["onnxruntime", "numpy"],
        onnx_execution_providers=["CPUExecutionProvider"],
        save_as_external_data=False,
    )
    for part in parts:
        shutil.copytree(part.path, into / part.kind)


def _schema(specs: Sequence[TensorSpec]) -> Schema:
    """Our specs in MLflow's terms, which writes a dynamic axis as -1."""
    import numpy as np
    from mlflow.types import Schema
    from mlflow.types import TensorSpec as Tensor

    shapes = [tuple(axis if isinstance(axis, int) else -1 for axis in spec.shape) for spec in specs]
    return Schema([Tensor(np.dtype(s.dtype), shape, s.name) for s, shape in zip(specs, shapes, strict=True)])


def _measured(evaluation: Artifact) -> dict[str, str]:
    return {f"lifecycle.{name}": f"{value:g}" for name, value in evaluation.numbers().items()}
