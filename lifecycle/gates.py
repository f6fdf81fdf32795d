"""Gates: what must hold of a version before the champion moves. No threshold, no promotion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from lifecycle.core.artifact import Artifact
from lifecycle.core.errors import ArtifactError
from lifecycle.core.gate import Gate
from lifecycle.core.verdict import Row
from lifecycle.registry import Version, fetch, gates_of

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A version that is to become champion, and the champion that it would follow."""

    candidate: Version
    champion: Version | None


def integrity(client: MlflowClient, version: Version, folder: Path) -> list[Row]:
    """Whether a version is, byte for byte, what was registered and scored, and was proven.

    Args:
        client: Connected to the registry.
        version: Which one.
        folder: Where artifacts are fetched to.
    """
    try:
        bundle, evaluation = fetch(client, version, folder)
    except ArtifactError as error:
        return [Row(term="digest", measured=error.message, limit="as registered", holds=False)]
    return [
        Row(term="digest", measured=bundle.digest[:12], limit="as registered", holds=True),
        _lineage(bundle, evaluation),
        _parity(bundle),
    ]


def judge(client: MlflowClient, proposal: Proposal, folder: Path) -> list[Row]:
    """Every gate of a candidate: digests, proof of export, then the thresholds that it carries.

    Args:
        client: Connected to the registry.
        proposal: Candidate and champion.
        folder: Where artifacts are fetched to.
    """
    candidate, champion = proposal.candidate, proposal.champion
    rows = integrity(client, candidate, folder)
    if not rows[0].holds:
        return rows
    _, evaluation = fetch(client, candidate, folder)
    thresholds = gates_of(candidate)
    if not thresholds:
        return [
            *rows,
            Row(term="thresholds", measured="none", limit="at least one, from `gates:`", holds=False),
        ]
    gates = {metric: Gate(**limits) for metric, limits in thresholds.items()}
    reference: Mapping[str, float] | Row = {}
    if any(gate.max_drop is not None for gate in gates.values()):
        reference = _reference(client, candidate, champion, evaluation, folder)
    if isinstance(reference, Row):
        return [*rows, reference]
    measured = metrics_of(evaluation)
    for metric, gate in gates.items():
        rows += gate.judge(metric, measured.get(metric), reference.get(metric))
    return rows


def metrics_of(evaluation: Artifact) -> dict[str, float]:
    """What evaluation measured on the exported file, by the clock included."""
    scored = cast("dict[str, float]", evaluation.read_json("metrics.json")["metrics"])
    return {**cast("dict[str, float]", evaluation.facts.get("metrics", {})), **scored}


def _reference(
    client: MlflowClient, candidate: Version, champion: Version | None, evaluation: Artifact, folder: Path
) -> Mapping[str, float] | Row:
    """The champion's metrics, or a refusal when they were measured on other data."""
    if champion is None or champion.number == candidate.number:
        return {}
    try:
        _, before = fetch(client, champion, folder)
    except ArtifactError as error:
        return Row(term="champion", measured=error.message, limit="whole, to compare with", holds=False)
    ours, theirs = (item.read_json("metrics.json")["data"] for item in (evaluation, before))
    if ours != theirs:
        return Row(
            term="test data",
            measured=str(ours)[:12],
            limit=f"the champion's, {str(theirs)[:12]}",
            holds=False,
        )
    return metrics_of(before)


def _lineage(bundle: Artifact, evaluation: Artifact) -> Row:
    scored = str(evaluation.read_json("metrics.json")["bundle"])
    return Row(
        term="evaluated file", measured=scored[:12], limit=bundle.digest[:12], holds=scored == bundle.digest
    )


def _parity(bundle: Artifact) -> Row:
    """Every comparison of every file with the module is in the bundle, and holds."""
    found = bundle.read_json("parity.json").get("comparisons")
    comparisons = found if isinstance(found, list) else []
    held = [isinstance(each, Mapping) and each.get("holds") is True for each in comparisons]
    return Row(
        term="parity",
        measured=f"{sum(held)} of {len(held)} comparisons hold",
        limit="all, at least one",
        holds=bool(held) and all(held),
    )
