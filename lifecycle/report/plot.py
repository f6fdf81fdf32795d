"""Plots as SVG text: bars for layers, points for trials. No library draws them, any browser shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, ROW, MARGIN = 760, 22, 240
INK, BAR, BEST, OTHER = "#222", "#4878a8", "#b8432f", "#9aa5b1"


@dataclass(frozen=True, kw_only=True)
class Point:
    """One trial in a plot.

    Attributes:
        x: Along the axis.
        y: Up the axis.
        label: What it is called.
        best: Whether it is on the front.
    """

    x: float
    y: float
    label: str
    best: bool = False


def bars_svg(title: str, rows: Sequence[tuple[str, float]]) -> str:
    """A horizontal bar for each value, as long as its size, with the value beside it.

    Args:
        title: Above the bars.
        rows: Label and value; negative values are drawn in another colour.
    """
    longest = max((abs(value) for _, value in rows), default=0.0) or 1.0
    parts = [_text(12, 26, title, size=15)]
    for index, (label, value) in enumerate(rows):
        y = 44 + index * ROW
        length = (WIDTH - MARGIN - 90) * abs(value) / longest
        parts.append(_text(MARGIN - 8, y + 14, label, anchor="end"))
        colour = BAR if value >= 0 else OTHER
        parts.append(
            f'<rect x="{MARGIN}" y="{y + 3}" width="{length:.1f}" height="{ROW - 7}" fill="{colour}"/>'
        )
        parts.append(_text(MARGIN + length + 6, y + 14, f"{value:.4g}"))
    return _svg(56 + len(rows) * ROW, parts)


def points_svg(title: str, x_label: str, y_label: str, points: Sequence[Point]) -> str:
    """Points in a frame with their labels; those of the front in another colour."""
    height, left, top = 460, 80, 50
    right, bottom = WIDTH - 40, height - 60
    parts = [
        _text(12, 26, title, size=15),
        f'<rect x="{left}" y="{top}" width="{right - left}" height="{bottom - top}" fill="none" '
        f'stroke="{INK}"/>',
        _text((left + right) / 2, height - 18, x_label, anchor="middle"),
        _text(12, top - 6, y_label),
    ]
    xs, ys = _range([point.x for point in points]), _range([point.y for point in points])
    for axis, (low, high) in (("x", xs), ("y", ys)):
        for part in range(5):
            value = low + (high - low) * part / 4
            if axis == "x":
                parts.append(
                    _text(left + (right - left) * part / 4, bottom + 18, f"{value:.3g}", anchor="middle")
                )
            else:
                parts.append(
                    _text(left - 6, bottom - (bottom - top) * part / 4 + 4, f"{value:.4g}", anchor="end")
                )
    for point in points:
        x = left + (right - left) * (point.x - xs[0]) / (xs[1] - xs[0])
        y = bottom - (bottom - top) * (point.y - ys[0]) / (ys[1] - ys[0])
        colour = BEST if point.best else OTHER
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{5 if point.best else 3.5}" fill="{colour}"/>')
        parts.append(_text(x + 7, y - 5, point.label, size=10))
    return _svg(height, parts)


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = 0.08 * (high - low) or 0.05 * (abs(high) or 1.0)
    return low - room, high + room


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{INK}">'
        f"{escape(text)}</text>"
    )


def _svg(height: float, parts: Sequence[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'font-family="sans-serif">\n<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )
