"""One part of the page."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from lifecycle.report.page.table import Table


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A drawing, and what it shows as a table for whoever cannot see it or wants the numbers.

    Attributes:
        title: Above it.
        svg: The drawing.
        table: The same numbers.
    """

    title: str
    svg: Markup
    table: Table


@dataclass(frozen=True, kw_only=True)
class Section:
    """Title, sentences, drawings, tables.

    Attributes:
        name: Of the anchor.
        title: Above it.
        texts: Sentences.
        charts: Drawings.
        tables: Tables.
        matrix: A square table with shaded cells.
        flow: Names and digests, each made from the one before.
        more: A table that is folded away: all rows behind those shown.
    """

    name: str
    title: str
    texts: tuple[str, ...] = ()
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()
    matrix: Matrix | None = None
    flow: tuple[tuple[str, str], ...] = ()
    more: Table | None = None


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """How often each class was taken for each.

    Attributes:
        labels: Of the classes.
        counts: Rows are what a sample is, columns what it was taken for.
    """

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    def share(self, row: int, column: int) -> float:
        """Of the samples of a row."""
        return self.counts[row][column] / (sum(self.counts[row]) or 1)
