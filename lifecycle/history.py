"""What a ledger of promotions says: which version was under an alias, since when and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from lifecycle.core.verdict import Row
from lifecycle.registry import CHAMPION

Kind = Literal["promotion", "rollback"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of a ledger.

    Attributes:
        number: Its place, from 1; void entries count along.
        head: The number of the newest entry when it was written; 0 for none, -1 if others wrote it.
        alias: What was moved: ``champion``, as a rule.
        version: Where to.
        before: Where from; None when the alias was not set.
        kind: Whether the version is new in this place, or one that was there before.
        actor: Who moved it.
        reason: Why, in that person's words.
        forced: Whether gates that refused were overruled.
        verdict: What the gates found.
        at: When, by the registry's clock.
        settled: Whether the alias was seen to follow.
    """

    number: int
    head: int
    alias: str
    version: int
    before: int | None
    kind: Kind
    actor: str
    reason: str
    forced: bool
    verdict: tuple[Row, ...]
    at: datetime
    settled: bool

    @property
    def counts(self) -> bool:
        """Whether its writer won."""
        return self.number == self.head + 1


@dataclass(frozen=True, kw_only=True)
class Change:
    """An alias that is to move.

    Attributes:
        alias: Which one.
        version: Where to.
        before: Where from.
        kind: Forward or back.
        reason: Why.
        forced: Whether gates that refused are overruled.
        verdict: What the gates found.
    """

    alias: str
    version: int
    before: int | None
    kind: Kind
    reason: str = ""
    forced: bool = False
    verdict: tuple[Row, ...] = ()


@dataclass(frozen=True)
class History:
    """A ledger as it was when somebody looked.

    Attributes:
        entries: All of them, in order.
    """

    entries: tuple[Entry, ...] = ()

    @property
    def head(self) -> int:
        """The number of the newest entry, void or not; 0 for none."""
        return self.entries[-1].number if self.entries else 0

    def of(self, alias: str = CHAMPION) -> list[Entry]:
        """The entries of an alias that count, in order."""
        return [entry for entry in self.entries if entry.counts and entry.alias == alias]

    def latest(self, alias: str = CHAMPION) -> Entry | None:
        """The entry that says where an alias belongs."""
        found = self.of(alias)
        return found[-1] if found else None

    def at(self, when: datetime, alias: str = CHAMPION) -> Entry | None:
        """The entry that held at a time."""
        found = [entry for entry in self.of(alias) if entry.at <= when]
        return found[-1] if found else None

    def line(self, alias: str = CHAMPION) -> list[int]:
        """The versions that lie below an alias, as rolling back one by one would find them; itself last.

        >>> at = datetime(2026, 1, 1)
        >>> def entry(number, version, kind="promotion"):
        ...     return Entry(number=number, head=number - 1, alias="champion", version=version, before=None,
        ...                  kind=kind, actor="", reason="", forced=False, verdict=(), at=at, settled=True)
        >>> History((entry(1, 4), entry(2, 5), entry(3, 7), entry(4, 5, "rollback"))).line()
        [4, 5]
        """
        found: list[int] = []
        for entry in self.of(alias):
            if not found and entry.before is not None:
                found.append(entry.before)  # set by others, before there was a ledger
            if entry.kind == "rollback" and entry.version in found:
                del found[len(found) - found[::-1].index(entry.version) :]
            else:
                found.append(entry.version)
        return found
