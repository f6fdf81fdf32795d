"""Moving a champion, as a transaction: look, judge, write to the ledger, let the alias follow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.core.errors import UsageError
from lifecycle.core.verdict import Row, require
from lifecycle.gates.case import Proposal
from lifecycle.gates.judge import integrity, judge
from lifecycle.history import Change, Entry, History, Kind
from lifecycle.ledger import Ledger
from lifecycle.registry import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    Version,
    alias_of,
    asking,
    check_alias,
    find_version,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True, kw_only=True)
class Promotion(Proposal):
    """A move that was looked into, and not made yet.

    Attributes:
        alias: What would move.
        kind: Forward or back.
        seen: The ledger as it was then.
        rows: What the gates found.
    """

    alias: str
    kind: Kind
    seen: History
    rows: tuple[Row, ...]

    @property
    def holds(self) -> bool:
        """Whether no gate refused."""
        return all(row.holds for row in self.rows)


def propose(
    client: MlflowClient, uri: str, folder: Path, *, alias: str = CHAMPION, kind: Kind = "promotion"
) -> Promotion:
    """Look up a candidate and the present champion, and judge.

    Args:
        client: Connected to the registry.
        uri: The candidate: ``models:/NAME@ALIAS`` or ``models:/NAME/NUMBER``.
        folder: Where artifacts are fetched to.
        alias: What the candidate is to become.
        kind: A rollback goes to what was champion: its bytes are looked at, its thresholds held then.

    Raises:
        UsageError: there is no such version, or the alias is none to be promoted to.
    """
    check_alias(alias, reserved=(PREVIOUS, CHALLENGER))
    candidate = find_version(client, uri)
    ledger = Ledger(client, candidate.name)
    with asking(client, "say who is champion", hint="Nothing was moved. Try again when it answers."):
        ledger.settle(alias)
        seen = ledger.read()
        latest = seen.latest(alias)
        champion = (
            alias_of(client, candidate.name, alias)
            if latest is None
            else find_version(client, f"models:/{candidate.name}/{latest.version}")
        )
    proposal = Proposal(candidate=candidate, champion=champion)
    rows = judge(client, proposal, folder) if kind == "promotion" else integrity(client, candidate, folder)
    return Promotion(
        candidate=candidate, champion=champion, alias=alias, kind=kind, seen=seen, rows=tuple(rows)
    )


def check_reason(reason: str, *, force: bool) -> None:
    """Raise `UsageError` where gates are to be overruled and nobody says why."""
    if force and not reason.strip():
        raise UsageError("--force overrules gates, and the ledger keeps why: add --reason TEXT")


def promote(
    client: MlflowClient, promotion: Promotion, *, reason: str = "", force: bool = False
) -> Entry | None:
    """Make the move.

    Args:
        client: Connected to the registry.
        promotion: What `propose` found.
        reason: Why; kept in the ledger.
        force: Overrule gates that refused, but those that look at the bytes. Needs a reason.

    Returns:
        The entry in the ledger; None when the candidate is champion already.

    Raises:
        RefusedError: a gate refused; nothing was moved.
        ConflictError: somebody else moved the champion since `propose` looked; nothing was moved.
        UsageError: `force` without a reason.
    """
    candidate, champion, alias = promotion.candidate, promotion.champion, promotion.alias
    check_reason(reason, force=force)
    present = f"version {champion.number}" if champion else "not set"
    require(
        [row for row in promotion.rows if row.final] if force else promotion.rows,
        f"{candidate.name} version {candidate.number} is not promoted",
        hint=f"{candidate.name}@{alias} is {present}, as before.",
    )
    ledger = Ledger(client, candidate.name)
    if champion is not None and champion.number == candidate.number:
        ledger.settle(alias, repair=True)
        return None
    entry = ledger.append(promotion.seen, _change(promotion, reason, forced=force and not promotion.holds))
    hint = f"The move is written down: `lifecycle history {candidate.name}` lets the alias follow."
    with asking(client, f"move {candidate.name}@{alias}", hint=hint):
        ledger.settle(alias, repair=True)
    return entry


def _change(promotion: Promotion, reason: str, *, forced: bool) -> Change:
    """What the ledger is to say."""
    champion = promotion.champion
    return Change(
        alias=promotion.alias,
        version=promotion.candidate.number,
        before=champion.number if champion else None,
        kind=promotion.kind,
        reason=reason.strip(),
        forced=forced,
        verdict=promotion.rows,
    )


def rollback_target(client: MlflowClient, name: str, to: int | None = None) -> Version:
    """The version that a rollback goes to: the champion before, or one that was champion once.

    Raises:
        UsageError: there is none, or `to` never was champion; lists those that were.
    """
    history = Ledger(client, name).read()
    line = history.line()
    if not line:
        find_version(client, f"models:/{name}@{CHAMPION}")  # says what is not there
        raise UsageError(f"{name} was never promoted by `lifecycle promote`: there is nothing to go back to")
    if to is None:
        if len(line) < 2:
            raise UsageError(f"version {line[-1]} is the first champion of {name}: nothing was before it")
        to = line[-2]
    once = [entry.version for entry in history.of()]
    known = dict.fromkeys([*line, *once])
    if to not in known:
        shown = ", ".join(str(number) for number in sorted(known))
        raise UsageError(
            f"version {to} of {name} never was champion; versions that were: {shown}",
            hint=f"`lifecycle promote {name} {to}` makes it champion if its gates hold.",
        )
    if to == line[-1]:
        raise UsageError(f"version {to} is champion of {name} already")
    return find_version(client, f"models:/{name}/{to}")
