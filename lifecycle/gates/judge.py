"""Putting every gate to a candidate."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.core.errors import ArtifactError, UsageError
from lifecycle.core.plugins import TABLES, load, table
from lifecycle.core.verdict import Row
from lifecycle.gates.case import Case, Exhibit, Proposal
from lifecycle.gates.proof import EvaluatedFile, OnnxOnly, Parity, Provenance
from lifecycle.registry import Version, fetch, fetch_checkpoint, gates_of

if TYPE_CHECKING:
    from mlflow import MlflowClient


def judge(client: MlflowClient, proposal: Proposal, folder: Path) -> list[Row]:
    """Every gate of a candidate: its bytes and their proof, then all that is in the table ``gates``.

    Args:
        client: Connected to the registry.
        proposal: Candidate and champion.
        folder: Where artifacts are fetched to.

    Raises:
        UsageError: a plug-in is no gate.
    """
    candidate, champion = proposal.candidate, proposal.champion
    exhibit = _exhibit(client, candidate, folder, "digest")
    if isinstance(exhibit, Row):
        return [exhibit]
    before: Exhibit | Row | None = None
    if champion is not None and champion.number != candidate.number:
        before = _exhibit(client, champion, folder, "champion")
    case = Case(
        candidate=exhibit,
        champion=None if isinstance(before, Row) else before,
        thresholds=gates_of(candidate),
        checkpoint=partial(fetch_checkpoint, client, candidate, folder),
    )
    rows = [_digest(exhibit), *([before] if isinstance(before, Row) else [])]
    for name in sorted(table("gates"), key=_builtin_first):
        gate = load("gates", name)
        if not isinstance(gate, type) or not hasattr(gate, "judge"):
            raise UsageError(
                f"gate '{name}' is no class with a method judge(case) (lifecycle.gates.case.Gate)"
            )
        rows += gate().judge(case)
    return rows


def integrity(client: MlflowClient, version: Version, folder: Path) -> list[Row]:
    """Whether a version is, byte for byte, what was registered and scored, and was proven.

    Args:
        client: Connected to the registry.
        version: Which one.
        folder: Where artifacts are fetched to.
    """
    exhibit = _exhibit(client, version, folder, "digest")
    if isinstance(exhibit, Row):
        return [exhibit]
    case = Case(
        candidate=exhibit,
        champion=None,
        thresholds={},
        checkpoint=partial(fetch_checkpoint, client, version, folder),
    )
    proofs = (EvaluatedFile(), Provenance(), OnnxOnly(), Parity())
    return [_digest(exhibit), *(row for proof in proofs for row in proof.judge(case))]


def _exhibit(client: MlflowClient, version: Version, folder: Path, term: str) -> Exhibit | Row:
    """A version with its files, or a row that says why it cannot be had."""
    try:
        bundle, evaluation = fetch(client, version, folder)
    except ArtifactError as error:
        return Row(
            term=term, measured=error.message, limit="as registered", holds=False, final=term == "digest"
        )
    return Exhibit(version=version, bundle=bundle, evaluation=evaluation)


def _digest(exhibit: Exhibit) -> Row:
    return Row(
        term="digest", measured=exhibit.bundle.digest[:12], limit="as registered", holds=True, final=True
    )


def _builtin_first(name: str) -> tuple[bool, int, str]:
    builtin = list(TABLES["gates"])
    return name not in builtin, builtin.index(name) if name in builtin else 0, name
