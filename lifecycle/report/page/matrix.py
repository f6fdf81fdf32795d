"""The confusion matrix as a drawing."""

from __future__ import annotations

from markupsafe import Markup

from lifecycle.report.page.charts import RIGHT, drawing, text
from lifecycle.report.page.section import Matrix

_LEFT, _TOP = 130, 74


def matrix_svg(title: str, matrix: Matrix) -> Markup:
    """A square for each pair of classes, darker the greater its share of the row; counts stand in it.

    Args:
        title: What is drawn, read out by screen readers.
        matrix: Rows are what a sample is, columns what it was taken for.
    """
    side = (RIGHT - _LEFT) / len(matrix.labels)
    parts = [
        text(_LEFT - 8, _TOP - 42, "is", "end"),
        text((_LEFT + RIGHT) / 2, _TOP - 42, "was taken for", "middle"),
    ]
    room = max(2, int(side / 8))
    for place, label in enumerate(matrix.labels):
        parts.append(text(_LEFT + (place + 0.5) * side, _TOP - 8, label[:room], "middle"))
        parts.append(text(_LEFT - 8, _TOP + (place + 0.5) * side + 5, label[-14:], "end"))
    for row, counts in enumerate(matrix.counts):
        for column, count in enumerate(counts):
            x, y = _LEFT + column * side, _TOP + row * side
            kind, share = "hit" if row == column else "miss", matrix.share(row, column)
            shade = (
                (0.45 * share if kind == "hit" else 0.12 + 0.5 * share) if count else 0.0
            )  # text stays readable
            parts.append(
                Markup(
                    '<rect class="cell {}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" '
                    'fill-opacity="{:.3f}"/>'
                ).format(kind, x, y, side - 1, side - 1, shade)
            )
            if count:
                parts.append(text(x + side / 2, y + side / 2 + 5, str(count), "middle"))
    return drawing(title, _TOP + len(matrix.labels) * side + 12, parts)
