"""Verdicts as tables: budgets, proofs and gates say row by row what was measured and what is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lifecycle.core.canonical import JSON
from lifecycle.core.errors import RefusedError


@dataclass(frozen=True, kw_only=True)
class Row:
    """One term of a verdict.

    Attributes:
        term: What is judged.
        measured: What it was found to be.
        limit: What is allowed.
        holds: Whether it is within that.
        final: Nobody may overrule it.
    """

    term: str
    measured: str
    limit: str
    holds: bool
    final: bool = False

    def __str__(self) -> str:
        return (
            f"{'ok     ' if self.holds else 'REFUSED'}  {self.term}: {self.measured} (allowed: {self.limit})"
        )

    def to_json(self) -> dict[str, JSON]:
        """Plain data."""
        return {"term": self.term, "measured": self.measured, "limit": self.limit, "holds": self.holds}


def at_most(term: str, value: float, limit: float) -> Row:
    """A row that holds up to a limit, which rounding of a ratio of counts may pass by a hair.

    >>> str(at_most("latency_ms", 1.8, 2.0))
    'ok       latency_ms: 1.8 (allowed: ≤ 2)'
    """
    return Row(term=term, measured=f"{value:.4g}", limit=f"≤ {limit:g}", holds=value <= limit + 1e-9)


def at_least(term: str, value: float, limit: float) -> Row:
    """A row that holds from a limit on.

    >>> str(at_least("test_acc", 0.93, 0.95))
    'REFUSED  test_acc: 0.93 (allowed: ≥ 0.95)'
    """
    return Row(term=term, measured=f"{value:.4g}", limit=f"≥ {limit:g}", holds=value >= limit - 1e-9)


def require(rows: Sequence[Row], what: str, hint: str = "") -> None:
    """Raise if a row does not hold.

    Args:
        rows: A whole verdict.
        what: What is refused, as the message begins.
        hint: What to do next.

    Raises:
        RefusedError: with the rows that failed.
    """
    failed = [row for row in rows if not row.holds]
    if failed:
        raise RefusedError(f"{what}:\n" + "\n".join(f"  {row}" for row in failed), hint=hint)
