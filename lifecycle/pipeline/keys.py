"""Keys of stages: a SHA-256 over everything that can change a result, and over nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import cast

from lifecycle.core.budget import Budget
from lifecycle.core.canonical import JSON, canonical_json, sha256
from lifecycle.core.reference import sources_digest
from lifecycle.core.stage import LIBRARIES, Context, Project, Stage
from lifecycle.pipeline import libraries
from lifecycle.pipeline.definitions import definitions

UNKNOWN = "?"  # of what is not known before the stages above have run
Basis = dict[str, JSON]  # what a result depends on, by what users call it


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all stages of a run depend on.

    Attributes:
        project: The user's code and its arguments.
        budget: The limits of compression.
        seed: For every random choice.
        fingerprint: Of the project's data; None where it has none, `UNKNOWN` before it is computed.
        sources: Hashes of what the project's files define, by file.
        imported: The distributions that those files import.
    """

    project: Project
    budget: Budget
    seed: int
    fingerprint: str | None
    sources: Mapping[str, Mapping[str, str]]
    imported: tuple[str, ...]


def setting_of(project: Project, budget: Budget, seed: int, fingerprint: str | None) -> Setting:
    """Read the project's sources, as text."""
    files = project.model.sources(project.root) | project.data.sources(project.root)
    sources: dict[str, Mapping[str, str]] = {name: definitions(path) for name, path in sorted(files.items())}
    installed = set()
    for reference in (project.model, project.data):
        if reference.file(project.root) is None:
            package = reference.module.partition(".")[0]
            sources[package] = {"its files": sources_digest(project.root, reference)}
            installed.add(package)
    return Setting(
        project=project,
        budget=budget,
        seed=seed,
        fingerprint=fingerprint,
        sources=sources,
        imported=tuple(sorted({*libraries.imported_libraries(files)})),
    )


def setting_of_context(context: Context, fingerprint: str | None) -> Setting:
    """As `setting_of`."""
    return setting_of(context.project, context.budget, context.seed, fingerprint)


def basis_of(
    name: str, stage: Stage, setting: Setting, inputs: Mapping[str, str], baseline: str | None
) -> Basis:
    """Everything that a stage's result depends on.

    Args:
        name: The stage's name in the pipeline file.
        stage: Its options.
        setting: What all stages depend on.
        inputs: Digests of what it consumes, by kind.
        baseline: Digest of the dense trained checkpoint; None for the stage that makes it.
    """
    project = setting.project
    basis: Basis = {
        "stage": name,
        "class": f"{type(stage).__module__}:{type(stage).__qualname__}",
        "options": _counted(stage),
        "inputs": dict(inputs),
        "versions": libraries.versions(getattr(stage, "libraries", LIBRARIES)),
        "code": libraries.code_of(stage),
    }
    if stage.produces == "version":
        basis["name"] = project.name
    if getattr(stage, "reads_project", True):
        basis |= {
            "baseline": baseline,
            "model": project.model.text,
            "model_args": dict(project.model_args),
            "data": project.data.text,
            "data_args": dict(project.data_args),
            "fingerprint": setting.fingerprint,
            "sources": cast("JSON", setting.sources),
            "budget": _budget(setting.budget, baseline),
            "seed": setting.seed,
            "versions": libraries.versions((*getattr(stage, "libraries", LIBRARIES), *setting.imported)),
        }
    return basis


def key_of(basis: Basis) -> str:
    """The stage's key."""
    return sha256(canonical_json(basis))


def is_cacheable(basis: Basis) -> bool:
    """Whether equal keys mean equal results: not where the data cannot be told from other data."""
    return basis.get("fingerprint", "") is not None


def _counted(stage: Stage) -> JSON:
    counted = getattr(stage, "counted", None)
    return dict(counted()) if counted is not None else asdict(stage)  # type: ignore[call-overload]


def _budget(budget: Budget, baseline: str | None) -> JSON:
    """What of the budget matters: training looks at it only to choose its best epoch."""
    if baseline is None:
        return {"metric": budget.metric, "mode": budget.mode}
    return asdict(budget)
