"""Tables of the page: cells that keep the number behind their text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: What people read.
        value: The number itself, unrounded; None where it is no number.
        share: How much of the greatest of its column it is, 0 to 1, drawn as a bar; None for no bar.
        tone: ``good`` or ``bad``, where it is either; else empty.
    """

    text: str
    value: float | None = None
    share: float | None = None
    tone: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with headings.

    Attributes:
        caption: What it shows; for whoever cannot see where it stands.
        columns: Headings; the first column is the name of a row.
        rows: As many cells each.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def without_empty(self) -> Table:
        """The same without columns in which nothing stands."""
        kept = [0] + [
            place
            for place in range(1, len(self.columns))
            if any(row[place].text or row[place].value is not None for row in self.rows)
        ]
        return Table(
            caption=self.caption,
            columns=tuple(self.columns[place] for place in kept),
            rows=tuple(tuple(row[place] for place in kept) for row in self.rows),
        )


def texts(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table of text alone."""
    cells = tuple(tuple(Cell(text) for text in row) for row in rows)
    return Table(caption=caption, columns=tuple(columns), rows=cells)


def with_bars(table: Table, places: Sequence[int]) -> Table:
    """The same with bars in some columns: each as long as its share of the greatest value there."""
    greatest = {place: max((row[place].value or 0.0 for row in table.rows), default=0.0) for place in places}
    rows = tuple(
        tuple(
            Cell(cell.text, cell.value, cell.value / greatest[place], cell.tone)
            if place in greatest and cell.value is not None and greatest[place] > 0
            else cell
            for place, cell in enumerate(row)
        )
        for row in table.rows
    )
    return Table(caption=table.caption, columns=table.columns, rows=rows)
