"""How long a thing stays that no registered version needs: so many of the newest, and so many days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from lifecycle.core.errors import UsageError
from lifecycle.history import Entry, History


@dataclass(frozen=True, kw_only=True)
class Retention:
    """What stays in any case; a thing that is within one of the limits is within all of them.

    Attributes:
        promotions: The newest entries of each alias in a ledger keep their versions.
        runs: The newest pipeline runs of each experiment.
        days: Whatever was made, used or champion in so many days.
    """

    promotions: int = 10
    runs: int = 10
    days: float = 30.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value < 1e6:
                raise UsageError(f"keep-{name} is {value:g}; expected a number from 0 on")

    def since(self, now: datetime) -> datetime:
        """Whatever is newer stays."""
        return now - timedelta(days=self.days)

    def entries(self, history: History, now: datetime) -> list[Entry]:
        """The entries of a ledger whose versions stay: each alias's last ones, and those that held of late.

        An entry holds from when it was written until the next one of its alias.
        """
        kept: list[Entry] = []
        for alias in dict.fromkeys(entry.alias for entry in history.entries if entry.counts):
            line = history.of(alias)
            ends = [entry.at for entry in line[1:]] + [now]
            newest = len(line) - max(self.promotions, 1)  # the present champion is never collected
            kept += [
                entry
                for place, (entry, end) in enumerate(zip(line, ends, strict=True))
                if place >= newest or end >= self.since(now)
            ]
        return kept

    def versions(self, history: History, now: datetime) -> set[int]:
        """The versions of those entries, and those that undoing one of them goes back to."""
        entries = self.entries(history, now)
        return {number for entry in entries for number in (entry.version, entry.before) if number is not None}
