"""Copying a version to another registered model, in the same registry or another: its bytes, not a pointer.

MLflow's own copy of a version points to the files of the first, and goes with them when those are collected.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from lifecycle.core.canonical import JSON
from lifecycle.core.errors import UsageError
from lifecycle.registration import find_registered, identity_of, register
from lifecycle.registry import Version, fetch, fetch_checkpoint, gates_of
from lifecycle.tracking import connect, open_experiment
from lifecycle.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient

ORIGIN = "lifecycle.origin"


def registry_at(uri: str, environment: Mapping[str, str] = os.environ) -> tuple[MlflowClient, Workspace]:
    """A client of another registry, and the workspace beside its store if it is a file.

    Raises:
        UsageError: it is no address of a registry.
        LifecycleError: it does not answer.
    """
    if environment.get("MLFLOW_REGISTRY_URI"):
        raise UsageError(
            f"--to-registry {uri}: MLFLOW_REGISTRY_URI sets one registry for the whole process",
            hint="Unset it; MLFLOW_TRACKING_URI may stay.",
        )
    if uri.startswith("sqlite:///"):
        workspace = Workspace(Path(uri.removeprefix("sqlite:///")).absolute().parent)
    elif uri.startswith(("http://", "https://")):
        workspace = Workspace(Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lifecycle")
    else:
        raise UsageError(
            f"--to-registry {uri!r}: expected the address of an MLflow server (http://…, https://…) "
            "or of an embedded store (sqlite:////…/mlflow.db)"
        )
    return connect(workspace, {"MLFLOW_TRACKING_URI": uri}), workspace


def transfer(
    version: Version,
    source: MlflowClient,
    target: MlflowClient,
    name: str,
    *,
    folder: Path,
    workspace: Workspace,
) -> Version:
    """Register the bytes of a version under another name; the same content is registered there once.

    Args:
        version: Which one.
        source: Connected to the registry that has it.
        target: Connected to the one that is to have it.
        name: The registered model there; made if it is not there.
        folder: Where fetched content is kept.
        workspace: Where the files of the target's embedded store lie.

    Raises:
        ArtifactError: a byte differs from what was registered, here or there.
    """
    bundle, evaluation = fetch(source, version, folder)
    checkpoint = fetch_checkpoint(source, version, folder)
    gates = cast("Mapping[str, JSON]", gates_of(version))
    made = find_registered(target, name, identity_of(bundle, evaluation, checkpoint, gates))
    if made is None:
        origin = f"models:/{version.name}/{version.number}"
        experiment = open_experiment(target, name, workspace)
        with experiment.run(f"copy of {version.name} {version.number}", {ORIGIN: origin}) as run:
            made = register(
                target,
                name,
                bundle=bundle,
                evaluation=evaluation,
                checkpoint=checkpoint,
                gates=gates,
                run_id=run.run_id,
                description=source.get_model_version(version.name, str(version.number)).description or "",
            )
            for key, value in {ORIGIN: origin, f"{ORIGIN}.registry": str(source.tracking_uri)}.items():
                target.set_model_version_tag(name, str(made.number), key, value)
    with tempfile.TemporaryDirectory() as aside:
        fetch(target, made, Path(aside))  # what arrived is what was sent
        fetch_checkpoint(target, made, Path(aside))
    return made
