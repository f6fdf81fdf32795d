from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lifecycle.collection.retention import Retention
from lifecycle.core.errors import UsageError
from lifecycle.history import Entry, History

NOW = datetime(2026, 11, 26, tzinfo=UTC)


def history(*promoted: tuple[int, int], alias: str = "champion") -> History:
    """Promotions: which version, how many days ago."""
    entries, before = list[Entry](), None
    for place, (version, days) in enumerate(promoted):
        entry = Entry(
            number=place + 1,
            head=place,
            alias=alias,
            version=version,
            before=before,
            kind="promotion",
            actor="",
            reason="",
            forced=False,
            verdict=(),
            at=NOW - timedelta(days=days),
            settled=True,
        )
        entries.append(entry)
        before = version
    return History(tuple(entries))


@pytest.mark.parametrize(
    ("retention", "kept"),
    [
        (Retention(promotions=1, days=0), {3, 4}),  # 3 is what a rollback goes to
        (Retention(promotions=3, days=0), {1, 2, 3, 4}),
        (Retention(promotions=0, days=0), {3, 4}),  # the champion stays whatever is asked for
        (Retention(promotions=0, days=45), {2, 3, 4}),  # 3 was champion from 60 to 10 days ago
        (Retention(promotions=0, days=95), {1, 2, 3, 4}),
    ],
)
def test_champions_of_late_and_the_last_ones_stay(retention: Retention, kept: set[int]) -> None:
    assert retention.versions(history((1, 100), (2, 90), (3, 60), (4, 10)), NOW) == kept


def test_each_alias_has_its_own_last_promotions() -> None:
    one, other = history((1, 100), (2, 90)), history((7, 80), alias="canary")
    both = History((*one.entries, *(entry for entry in other.entries)))
    assert {2, 7} <= Retention(promotions=1, days=0).versions(both, NOW)


def test_limits_below_zero_are_refused() -> None:
    with pytest.raises(UsageError, match="keep-days is -1; expected a number from 0 on"):
        Retention(days=-1)
