"""Keys of stages: a SHA-256 over everything that can change a result, and over nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version_tuple
from typing import Any, cast

from lifecycle.core.artifact import MANIFEST, Artifact, open_artifact
from lifecycle.core.canonical import JSON, canonical_json, sha256, sha256_file
from lifecycle.core.errors import ArtifactError
from lifecycle.core.reference import sources_digest
from lifecycle.core.stage import Context, Stage

LIBRARIES = (
    "model-lifecycle",
    "torch",
    "torch-pruning",
    "torchao",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "numpy",
)
OWN = ("core", "train", "compress", "export", "stages")  # our folders whose code makes results
# Options of a trainer that change what is shown or where, never the result.
SILENT = ("log_every_n_steps",)


def stage_key(
    name: str, stage: Stage, inputs: Mapping[str, Artifact], context: Context, data_fingerprint: str
) -> str:
    """What a stage's result depends on, hashed.

    Args:
        name: The stage's name in the pipeline file.
        stage: Its options.
        inputs: The artifacts it consumes.
        context: Project, budget and seed.
        data_fingerprint: Of the project's data.
    """
    project = context.project
    depends: JSON = {
        "stage": name,
        "class": f"{type(stage).__module__}:{type(stage).__qualname__}",
        "options": _options(stage),
        "inputs": {kind: artifact.digest for kind, artifact in inputs.items()},
        "baseline": context.baseline.digest if context.baseline else None,
        "project": project.name if stage.produces == "version" else None,
        "model": [project.model.text, dict(project.model_args)],
        "data": [project.data.text, dict(project.data_args), data_fingerprint],
        "sources": sources_digest(project.root, project.model, project.data),
        "budget": _budget(context),
        "seed": context.seed,
        "versions": versions(),
        "code": own_code(),
    }
    return sha256(canonical_json(depends))


def _budget(context: Context) -> JSON:
    """What of the budget matters: training looks at it only to choose its best epoch."""
    if context.baseline is None:
        return {"metric": context.budget.metric, "mode": context.budget.mode}
    return cast("JSON", asdict(context.budget))


def versions() -> dict[str, JSON]:
    """The libraries whose version can change a result; None for one that is not installed."""
    found: dict[str, JSON] = {"python": ".".join(python_version_tuple()[:2])}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = None
    return found


@cache
def own_code() -> str:
    """SHA-256 over our own sources that make results: a version number does not tell checkouts apart."""
    root = Path(__file__).parents[1]
    files = [path for folder in OWN for path in (root / folder).rglob("*.py")]
    named = sorted((path.relative_to(root).as_posix(), sha256_file(path)) for path in files)
    return sha256(canonical_json(cast("JSON", named)))


def look_up(path: Path) -> tuple[Artifact | None, str]:
    """A finished artifact, verified; without one, the reason: empty when there never was one."""
    if not path.exists():
        return None, ""
    try:
        return open_artifact(path), ""
    except ArtifactError as error:
        return None, error.message


def find_artifact(cache: Path, digest: str) -> Artifact | None:
    """The artifact of a digest among all stages' results, verified; None where there is none."""
    for manifest in cache.glob(f"*/*/{MANIFEST}"):
        found, _ = look_up(manifest.parent)
        if found is not None and found.digest == digest:
            return found
    return None


def _options(stage: Stage) -> dict[str, JSON]:
    options: dict[str, Any] = asdict(cast("Any", stage))
    if isinstance(options.get("trainer"), dict):
        options["trainer"] = {k: v for k, v in options["trainer"].items() if k not in SILENT}
    return options
