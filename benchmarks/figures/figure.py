"""One measured number, what it is held to, and whether it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

OURS = "lifecycle"
DIGITS = 5  # significant ones that are kept


@dataclass(frozen=True, kw_only=True)
class Bar:
    """What a figure should reach.

    Attributes:
        sign: On which side of the limit it should be.
        limit: In the figure's unit.
        judged: The median or one end of the interval.
    """

    sign: Literal["<=", ">="]
    limit: float
    judged: Literal["value", "low", "high"] = "value"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured number.

    Attributes:
        table: What is measured; figures of one table have one unit.
        row: On what.
        of: Who was measured: ours, or a peer.
        over: The peer that a ratio or difference is taken over.
        unit: ``×``, ``ms``, ``µs``, ``s``, ``MB``, ``calls``, ``points``, ``%``, ``requests/s``, ``yes/no``
            (1 or 0), or empty for counts.
        value: A median, where there is more than one measurement.
        low: The lower end of the 95 % interval.
        high: Its upper end.
        bar: What it is held to.
    """

    table: str
    row: str
    of: str = OURS
    over: str | None = None
    unit: str = ""
    value: float
    low: float | None = None
    high: float | None = None
    bar: Bar | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What names it within its benchmark."""
        return self.table, self.row, self.of

    @property
    def holds(self) -> bool | None:
        """Whether the bar is reached; None without one.

        >>> Figure(table="a", row="b", value=1.2, low=1.1, bar=Bar(sign="<=", limit=1.15, judged="low")).holds
        True
        """
        if self.bar is None:
            return None
        judged: float | None = getattr(self, self.bar.judged)
        if judged is None:
            raise ValueError(
                f"{self.key}: its bar is for the {self.bar.judged!r} end of an interval that it lacks"
            )
        return judged <= self.bar.limit if self.bar.sign == "<=" else judged >= self.bar.limit

    def as_json(self) -> dict[str, Any]:
        """Plain data, the numbers rounded to five digits."""
        ends = (self.low, self.high)
        interval = None if None in ends else [_rounded(end) for end in ends if end is not None]
        return {
            "table": self.table,
            "row": self.row,
            "of": self.of,
            "peer": self.over,
            "unit": self.unit,
            "value": _rounded(self.value),
            "interval": interval,
            "bar": None if self.bar is None else asdict(self.bar),
            "holds": self.holds,
        }


def figure_of(found: Mapping[str, Any]) -> Figure:
    """The figure that was written as plain data."""
    low, high = found["interval"] or (None, None)
    return Figure(
        table=found["table"],
        row=found["row"],
        of=found["of"],
        over=found["peer"],
        unit=found["unit"],
        value=found["value"],
        low=low,
        high=high,
        bar=None if found["bar"] is None else Bar(**found["bar"]),
    )


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
