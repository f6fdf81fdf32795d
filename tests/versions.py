"""Registered versions made of small real bundles, in a real MLflow store."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from mlflow import MlflowClient

from lifecycle.core.artifact import Artifact, Draft
from lifecycle.core.canonical import JSON, readable_json
from lifecycle.registration import register
from lifecycle.registry import Version, set_alias
from tests.serve.bundles import digits_bundle

PROVEN: dict[str, JSON] = {"precision": "float32", "comparisons": [{"format": "onnx", "holds": True}]}
GATES: dict[str, JSON] = {"test_acc": {"min": 0.95, "max_drop": 0.01}}


def proven_bundle(folder: Path, *, parity: Mapping[str, JSON] = PROVEN, label: str = "0") -> Artifact:
    """The digits bundle with a proof in it; `label` renames the first class, which changes the digest."""
    plain = digits_bundle(folder / "plain", labels=(label, *"123456789"))
    with Draft(folder / "bundle") as draft:
        for name in ("model.onnx", "signature.json"):
            shutil.copy(plain.file(name), draft.path / name)
        (draft.path / "parity.json").write_bytes(readable_json(parity))
        return draft.seal("bundle")


def evaluation_of(folder: Path, bundle: str, *, test_acc: float = 0.98, data: str = "digits-1") -> Artifact:
    """An evaluation that scored the bundle of that digest."""
    metrics: JSON = {"metrics": {"test_acc": test_acc}, "dense": {}, "bundle": bundle, "data": data}
    with Draft(folder / "evaluation") as draft:
        (draft.path / "metrics.json").write_bytes(readable_json(metrics))
        facts: dict[str, JSON] = {"metrics": {"test_acc": test_acc, "latency_ms": 0.5}}
        return draft.seal("evaluation", facts=facts)


def registered(
    client: MlflowClient,
    folder: Path,
    *,
    test_acc: float = 0.98,
    data: str = "digits-1",
    gates: Mapping[str, JSON] = GATES,
    parity: Mapping[str, JSON] = PROVEN,
    scored: str = "",
    label: str = "0",
    name: str = "digits",
) -> Version:
    """Register a new version as challenger."""
    bundle = proven_bundle(folder, parity=parity, label=label)
    evaluation = evaluation_of(folder, scored or bundle.digest, test_acc=test_acc, data=data)
    experiment = client.get_experiment_by_name(name)
    experiment_id = experiment.experiment_id if experiment else client.create_experiment(name)
    run = client.create_run(experiment_id)
    version = register(
        client, name, bundle=bundle, evaluation=evaluation, gates=gates, run_id=run.info.run_id
    )
    set_alias(client, version, "challenger")
    return version


def stored_file(version: Version, client: MlflowClient, name: str) -> Path:
    """Where MLflow keeps a file of a version, to damage it."""
    location = client.get_model_version_download_uri(version.name, str(version.number))
    return Path(location.removeprefix("file://")) / name


def image() -> np.ndarray:
    """One white image."""
    return np.full((1, 1, 8, 8), 16, np.uint8)
