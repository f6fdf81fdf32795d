"""Registered models: who is champion, since when and why; moving it; what versions differ in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.core.canonical import JSON
from lifecycle.core.errors import UsageError
from lifecycle.core.progress import terminal_progress, tracked
from lifecycle.registry import CHALLENGER, CHAMPION, PREVIOUS
from lifecycle.verbs.places import given_workspace, uri_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from lifecycle.history import Entry
    from lifecycle.promotion import Promotion
    from lifecycle.registry import Version
    from lifecycle.report.difference import Difference

ALIASES = (CHAMPION, CHALLENGER, PREVIOUS)


@dataclass(frozen=True, kw_only=True)
class Moved:
    """What became of an alias.

    Attributes:
        promotion: The candidate, the champion before, and what the gates found.
        entry: The new line of the ledger; None when nothing had to be moved.
    """

    promotion: Promotion
    entry: Entry | None

    def to_json(self) -> dict[str, JSON]:
        """What ``lifecycle promote --json`` prints."""
        promotion = self.promotion
        return {
            "name": promotion.candidate.name,
            "version": promotion.candidate.number,
            "alias": promotion.alias,
            "before": promotion.champion.number if promotion.champion else None,
            "moved": self.entry is not None,
            "forced": self.entry is not None and self.entry.forced,
            "rows": [row.to_json() for row in promotion.rows],
        }

    def __str__(self) -> str:
        promotion, entry = self.promotion, self.entry
        name = f"{promotion.candidate.name}@{promotion.alias}"
        if entry is None:
            return f"{name} is version {promotion.candidate.number} already."
        formerly = f", before it was version {entry.before}" if entry.before else ""
        overruled = " Gates that refused were overruled." if entry.forced else ""
        return f"{name} is version {entry.version}{formerly}.{overruled}"


def propose(
    name: str, version: int | str = "@challenger", *, to: str = CHAMPION, workspace: str | Path | None = None
) -> Promotion:
    """What the gates find; nothing is moved.

    Args:
        name: Of the registered model.
        version: A number or an ``@alias``.
        to: The alias that would move.
        workspace: Whose registry is asked; by default MLflow's environment, or the workspace here or above.

    Raises:
        UsageError: there is no such version.
    """
    from lifecycle import promotion
    from lifecycle.tracking import find_registry

    client, served = find_registry(given_workspace(workspace))
    return promotion.propose(client, uri_of(name, version), served, alias=to)


def promote(
    name: str,
    version: int | str = "@challenger",
    *,
    to: str = CHAMPION,
    to_model: str | None = None,
    to_registry: str | None = None,
    reason: str = "",
    force: bool = False,
    workspace: str | Path | None = None,
) -> Moved:
    """Make a version champion, if its gates hold.

    Args:
        name: Of the registered model.
        version: A number or an ``@alias``.
        to: What it is to become.
        to_model: Copy it to this registered model, and promote it there.
        to_registry: Copy it to this registry, and promote it there.
        reason: Why; kept in the ledger.
        force: Overrule gates that refuse, but those that look at the bytes. Needs a reason.
        workspace: Whose registry is asked; by default MLflow's environment, or the workspace here or above.

    Raises:
        RefusedError: a gate refused; its message says which. Nothing was moved.
        ConflictError: somebody else moved the champion meanwhile. Nothing was moved.
        UsageError: there is no such version, or `force` without a reason.
    """
    from lifecycle import promotion
    from lifecycle.tracking import find_registry

    promotion.check_reason(reason, force=force)  # before anything is copied
    client, served = find_registry(given_workspace(workspace))
    uri = uri_of(name, version)
    if to_model or to_registry:
        client, uri = copied(client, uri, served, to_model, to_registry, force=force)
    proposal = promotion.propose(client, uri, served, alias=to)
    entry = promotion.promote(client, proposal, reason=reason, force=force)
    return Moved(promotion=proposal, entry=entry)


def rollback(
    name: str, *, to: int | None = None, reason: str = "", workspace: str | Path | None = None
) -> Moved:
    """Make the champion before the present one champion again, or one that was it once.

    Args:
        name: Of the registered model.
        to: A version that was champion; by default the one before.
        reason: Why; kept in the ledger.
        workspace: Whose registry is asked.

    Raises:
        UsageError: there is nothing to go back to.
        RefusedError: the version's bytes are not what was registered.
        ConflictError: somebody else moved the champion meanwhile.
    """
    from lifecycle import promotion
    from lifecycle.tracking import find_registry

    client, served = find_registry(given_workspace(workspace))
    target = promotion.rollback_target(client, name, to)
    proposal = promotion.propose(client, f"models:/{name}/{target.number}", served, kind="rollback")
    return Moved(promotion=proposal, entry=promotion.promote(client, proposal, reason=reason))


def history(name: str, *, alias: str = CHAMPION, workspace: str | Path | None = None) -> list[Entry]:
    """Every promotion of a model, the oldest first: which version, when, by whom, why, and what gates found.

    Raises:
        UsageError: no model has that name.
    """
    from lifecycle.ledger import Ledger
    from lifecycle.registry import known_model
    from lifecycle.tracking import find_registry

    client, _ = find_registry(given_workspace(workspace))
    known_model(client, name)
    ledger = Ledger(client, name)
    ledger.settle(alias)
    return ledger.read().of(alias)


def status(name: str | None = None, *, workspace: str | Path | None = None) -> list[dict[str, JSON]]:
    """Registered models, or one: how many versions, where aliases lead, the last promotion.

    Raises:
        UsageError: no model has that name.
    """
    from lifecycle.registry import known_model, model_names
    from lifecycle.tracking import find_registry

    client, _ = find_registry(given_workspace(workspace))
    if name is not None:
        known_model(client, name)
    return [model_status(client, each)[0] for each in ([name] if name else model_names(client))]


def diff(
    name: str, first: int | str, second: int | str, *, workspace: str | Path | None = None
) -> list[Difference]:
    """What two versions differ in: options, code, data, libraries, metrics, size, latency.

    Args:
        name: Of the registered model.
        first: A number or an ``@alias``.
        second: Likewise.
        workspace: Whose registry is asked.

    Raises:
        UsageError: there is no such version.
    """
    from lifecycle.registry import find_version
    from lifecycle.tracking import find_registry

    client, served = find_registry(given_workspace(workspace))
    return differences_of(
        client, served, [find_version(client, uri_of(name, each)) for each in (first, second)]
    )


def differences_of(client: MlflowClient, served: Path, versions: Sequence[Version]) -> list[Difference]:
    """As `diff`, of two versions that were found."""
    from lifecycle.registry import RUN, fetch
    from lifecycle.report.difference import Described, differences
    from lifecycle.tracking import stage_options

    described = []
    for version in tracked(terminal_progress(), "fetching and verifying", versions):
        bundle, evaluation = fetch(client, version, served)
        options = stage_options(client, version.tags.get(RUN, ""))
        described.append(Described(bundle=bundle, evaluation=evaluation, options=options))
    return differences(*described)


def model_status(client: MlflowClient, name: str) -> tuple[dict[str, JSON], Entry | None]:
    """What is known of a model, and the entry that its champion does not follow."""
    from lifecycle.ledger import Ledger, local_time

    ledger = Ledger(client, name)
    astray = ledger.settle()
    latest = ledger.read().latest()
    aliases = client.get_registered_model(name).aliases
    row: dict[str, JSON] = {
        "model": name,
        "versions": len(client.search_model_versions(f"name = '{name}'")),
        **{alias: int(aliases[alias]) if alias in aliases else None for alias in ALIASES},
        "since": local_time(latest.at) if latest else None,
        "promoted": latest.version if latest else None,
    }
    return row, astray


def copied(
    client: MlflowClient,
    uri: str,
    served: Path,
    name: str | None,
    registry: str | None,
    *,
    force: bool,
    tell: Callable[[str], None] = lambda text: None,
) -> tuple[MlflowClient, str]:
    """The registry that a version was copied to, and what it is called there.

    Raises:
        RefusedError: what would be refused there is not copied.
        UsageError: it is there already.
    """
    from lifecycle.core.verdict import require
    from lifecycle.gates.case import Proposal
    from lifecycle.gates.judge import judge
    from lifecycle.registry import find_version
    from lifecycle.transfer import registry_at, transfer
    from lifecycle.workspace import Workspace

    version = find_version(client, uri)
    name = name or version.name
    if name == version.name and registry is None:
        raise UsageError(f"--to-model {name}: the version is there already")
    if not force:
        rows = judge(client, Proposal(candidate=version, champion=None), served)
        require(rows, f"{version.name} version {version.number} is not copied to {name}")
    target, workspace = registry_at(registry) if registry else (client, Workspace(served.parent))
    made = transfer(version, client, target, name, folder=served, workspace=workspace)
    tell(f"{version.name} version {version.number} is {name} version {made.number} there")
    return target, f"models:/{name}/{made.number}"
