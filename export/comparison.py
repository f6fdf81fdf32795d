"""What comparing a file with its module found: figures, and what to say when they do not hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

from lifecycle.core.canonical import JSON
from lifecycle.export.batches import EDGES
from lifecycle.export.tolerance import Tolerance

SHARE = 0.01
"""Shares of integer outputs are figures in hundredths of this."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One output on one batch.

    Figures are rounded up to hundredths of their limit: the last bit of a float is not to change the digest
    of a bundle.

    Attributes:
        data: ``samples``, ``random``, ``zeros``, ``lowest`` or ``highest``.
        batch: Number of samples.
        axes: Sizes of the other dynamic axes.
        output: Its name.
        max_error: Largest absolute error, as a share of the output's range.
        mean_error: Mean absolute error, likewise; held against its limit over all batches.
        top1: Share of samples with the same best class; None where the output is no class scores.
        holds: Whether the largest error is within its limit, and classes differ only where scores tie.
        discrete: Whether the output is integers or booleans: errors are then the share that differs, held
            against its limit over all batches.
    """

    data: str
    batch: int
    axes: Mapping[str, int]
    output: str
    max_error: float
    mean_error: float
    top1: float | None
    holds: bool
    discrete: bool = False


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One way to run one file, on all the data.

    Attributes:
        format: The file's format.
        run: ``as run`` by `open_model`, or ``as written``: operator by operator.
        tolerance: What the rows were held against.
        rows: Every output on every batch.
    """

    format: str
    run: str
    tolerance: Tolerance
    rows: tuple[Row, ...]

    @property
    def mean_errors(self) -> dict[str, float]:
        """Mean absolute error of each output over all batches: one value on an edge is no mistake."""
        found = {}
        for output in dict.fromkeys(row.output for row in self.rows):
            rows = [row for row in self.rows if row.output == output]
            mean = sum(row.mean_error * row.batch for row in rows) / sum(row.batch for row in rows)
            found[output] = (
                round(mean, 4) if rows[0].discrete else rounded_up(mean, self.tolerance.mean_error)
            )
        return found

    @property
    def holds(self) -> bool:
        """Whether every row and every mean is within the tolerance."""
        return all(row.holds for row in self.rows) and not self._high_means()

    def refusal(self) -> str:
        """The worst that does not hold: which output, on what, how far off, and what is allowed."""
        start = f"the {self.format} file, {self.run}, differs from the module: "
        failed = [row for row in self.rows if not row.holds]
        if not failed:
            output, mean = max(self._high_means().items(), key=lambda item: item[1])
            if output in self._discrete():
                allowed = f"(allowed {self.tolerance.flips:g})"
                return f"{start}{mean:.3g} of the values of '{output}' are others {allowed}"
            return (
                f"{start}output '{output}' is off by {mean:.3g} of its range on average "
                f"(allowed {self.tolerance.mean_error:g})"
            )
        row = max(failed, key=lambda row: row.max_error)
        axes = ", ".join(f"{axis} {size}" for axis, size in row.axes.items())
        where = f"{start}output '{row.output}' on {row.batch} of {row.data} {f'({axes}) ' if axes else ''}"
        if row.max_error > self.tolerance.max_error:
            return f"{where}is off by {row.max_error:.3g} of its range (allowed {self.tolerance.max_error:g})"
        return (
            f"{where}names another class than the module, by more than a tie ({self.tolerance.tie:g} of its "
            f"range), in {1 - (row.top1 or 0):.3g} of the samples"
        )

    def worst(self) -> Row:
        """The row that is furthest off, among those that do not hold where there are any."""
        failed = [row for row in self.rows if not row.holds]
        return max(failed or self.rows, key=lambda row: row.max_error)

    def table(self) -> list[list[str]]:
        """A row for each output and kind of data: worst errors, what is allowed, whether it holds."""
        return _table(self.to_json())

    def _high_means(self) -> dict[str, float]:
        discrete = self._discrete()
        return {
            name: mean
            for name, mean in self.mean_errors.items()
            if mean > (self.tolerance.flips if name in discrete else self.tolerance.mean_error)
        }

    def _discrete(self) -> set[str]:
        return {row.output for row in self.rows if row.discrete}

    def to_json(self) -> dict[str, JSON]:
        """Plain data for ``parity.json``."""
        return {
            "format": self.format,
            "run": self.run,
            "tolerance": asdict(self.tolerance),
            "mean_errors": self.mean_errors,
            "rows": [asdict(row) for row in self.rows],
            "holds": self.holds,
        }


COLUMNS = (
    "file",
    "output",
    "data",
    "batches",
    "max error",
    "allowed",
    "mean error",
    "allowed",
    "top-1",
    "holds",
)
"""Headings of `Comparison.table`; errors are shares of the output's range, means are held over all data."""


def table_of(parity: Mapping[str, JSON]) -> list[list[str]]:
    """The rows of every comparison in a ``parity.json``."""
    comparisons = cast("list[Mapping[str, JSON]]", parity["comparisons"])
    return [row for comparison in comparisons for row in _table(comparison)]


def _table(comparison: Mapping[str, JSON]) -> list[list[str]]:
    tolerance = cast("Mapping[str, float]", comparison["tolerance"])
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in cast("list[Mapping[str, Any]]", comparison["rows"]):
        data = "edges" if row["data"] in EDGES else row["data"]
        groups.setdefault((row["output"], data), []).append(row)
    return [
        [
            f"{comparison['format']}, {comparison['run']}",
            output,
            data,
            str(len(rows)),
            f"{max(row['max_error'] for row in rows):.2g}",
            "" if rows[0]["discrete"] else f"{tolerance['max_error']:g}",
            f"{max(row['mean_error'] for row in rows):.2g}",
            f"{tolerance['flips' if rows[0]['discrete'] else 'mean_error']:g}",
            "" if rows[0]["top1"] is None else f"{100 * min(row['top1'] for row in rows):.1f} %",
            "yes" if all(row["holds"] for row in rows) else "NO",
        ]
        for (output, data), rows in groups.items()
    ]


def summary(comparisons: Sequence[Comparison]) -> dict[str, JSON]:
    """The worst figures of each format and way to run it, by ``"onnx, as run"``."""
    return {
        f"{comparison.format}, {comparison.run}": {
            "max_error": max(row.max_error for row in comparison.rows),
            "mean_error": max(comparison.mean_errors.values()),
            "top1": min((row.top1 for row in comparison.rows if row.top1 is not None), default=None),
        }
        for comparison in comparisons
    }


def rounded_up(value: float, limit: float) -> float:
    """A figure in hundredths of its limit, rounded up; infinite where it is no number.

    >>> rounded_up(0.0000001, limit=0.0001)
    1e-06
    """
    if not math.isfinite(value):
        return math.inf
    step = limit / 100
    return float(f"{math.ceil(value / step - 1e-9) * step:.6g}")
