"""Bars with their confidence intervals, as SVG: no library, no fonts, the same bytes for the same figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_WIDTH, _LABEL, _ROW = 720, 260, 26


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One row of a plot: a value with the ends of its interval, and whether it stands out."""

    label: str
    value: float
    low: float
    high: float
    chosen: bool = False


def intervals_svg(title: str, unit: str, bars: Sequence[Bar]) -> str:
    """A plot of horizontal bars from zero on.

    Args:
        title: Above the plot.
        unit: Behind every value.
        bars: From top to bottom.
    """
    greatest = max((bar.high for bar in bars), default=1.0) or 1.0
    scale = (_WIDTH - _LABEL - 120) / greatest
    height = _ROW * (len(bars) + 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="8" y="18" font-size="14" font-weight="bold">{escape(title)}</text>',
    ]
    for index, bar in enumerate(bars):
        parts += _bar(bar, unit, _ROW * (index + 1) + 8, scale)
    return "\n".join([*parts, "</svg>", ""])


def _bar(bar: Bar, unit: str, top: int, scale: float) -> list[str]:
    middle = top + _ROW / 2 - 4
    low, high, end = (_LABEL + value * scale for value in (bar.low, bar.high, bar.value))
    colour = "#2a7f62" if bar.chosen else "#8fa3b5"
    return [
        f'<text x="{_LABEL - 8}" y="{middle + 4:.1f}" text-anchor="end">{escape(bar.label)}</text>',
        f'<rect x="{_LABEL}" y="{top}" width="{end - _LABEL:.1f}" height="{_ROW - 8}" fill="{colour}"/>',
        f'<path d="M{low:.1f} {middle:.1f}H{high:.1f}M{low:.1f} {middle - 4:.1f}v8"'
        ' stroke="black" fill="none"/>',
        f'<path d="M{high:.1f} {middle - 4:.1f}v8" stroke="black"/>',
        f'<text x="{high + 6:.1f}" y="{middle + 4:.1f}">{bar.value:.3g} {escape(unit)}</text>',
    ]
