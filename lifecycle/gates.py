"""Promotion: what must hold of a version before the champion moves. No threshold, no promotion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from lifecycle.core.artifact import Artifact
from lifecycle.core.errors import ArtifactError
from lifecycle.core.gate import Gate
from lifecycle.core.verdict import Row, require
from lifecycle.registry import (
    CHAMPION,
    PREVIOUS,
    Version,
    alias_of,
    fetch,
    find_version,
    gates_of,
    set_alias,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A version that is to become champion, and the champion that it would follow."""

    candidate: Version
    champion: Version | None


def propose(client: MlflowClient, uri: str) -> Proposal:
    """Look up a candidate and the present champion.

    Args:
        client: Connected to the registry.
        uri: ``models:/NAME@ALIAS`` or ``models:/NAME/NUMBER``.

    Raises:
        UsageError: there is no such version.
    """
    candidate = find_version(client, uri)
    return Proposal(candidate=candidate, champion=alias_of(client, candidate.name, CHAMPION))


def judge(client: MlflowClient, proposal: Proposal, folder: Path) -> list[Row]:
    """Every gate of a candidate: digests, proof of export, then the thresholds that it carries.

    Args:
        client: Connected to the registry.
        proposal: Candidate and champion.
        folder: Where artifacts are fetched to.
    """
    candidate, champion = proposal.candidate, proposal.champion
    try:
        bundle, evaluation = fetch(client, candidate, folder)
    except ArtifactError as error:
        return [Row(term="digest", measured=error.message, limit="as registered", holds=False)]
    rows = [
        Row(term="digest", measured=bundle.digest[:12], limit="as registered", holds=True),
        _lineage(bundle, evaluation),
        _parity(bundle),
    ]
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


def move_champion(client: MlflowClient, proposal: Proposal, rows: Sequence[Row]) -> None:
    """Point ``champion`` at the candidate and ``previous`` at the champion until now.

    Raises:
        RefusedError: a row does not hold; nothing was moved.
    """
    candidate, champion = proposal.candidate, proposal.champion
    present = f"version {champion.number}" if champion else "not set"
    require(
        rows,
        f"{candidate.name} version {candidate.number} is not promoted",
        hint=f"{candidate.name}@champion is {present}, as before.",
    )
    if champion is not None and champion.number != candidate.number:
        set_alias(client, champion, PREVIOUS)
    set_alias(client, candidate, CHAMPION)


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
