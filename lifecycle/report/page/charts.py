"""Charts of the page as SVG: drawn in the page's own colours, with a title for who cannot see them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup, escape

HERE = Path(__file__).parent

Points = tuple[tuple[float, float], ...]

WIDTH, HEIGHT = 560, 312
LEFT, RIGHT, TOP, BOTTOM = 58, 546, 34, 256
_MOST = 400  # points of a line; more are not told apart


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a chart.

    Attributes:
        name: For the legend.
        parts: Stretches of it, one for each stage, from left to right.
    """

    name: str
    parts: tuple[Points, ...]


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A part of the x axis.

    Attributes:
        name: The stage.
        start: Where it begins.
        end: Where it ends.
    """

    name: str
    start: float
    end: float


def lines_svg(title: str, lines: Sequence[Line], stretches: Sequence[Stretch]) -> Markup:
    """Lines over steps, the stages one after another.

    Args:
        title: What is drawn, read out by screen readers.
        lines: At most four are told apart by colour and dash.
        stretches: The stages, from left to right.
    """
    values = [y for line in lines for part in line.parts for _, y in part if math.isfinite(y)]
    low, high, ticks = nice_range(min(values, default=0.0), max(values, default=1.0))
    end = max((stretch.end for stretch in stretches), default=1.0) or 1.0

    def at(x: float, y: float) -> tuple[float, float]:
        return LEFT + (RIGHT - LEFT) * x / end, BOTTOM - (BOTTOM - TOP) * (y - low) / (high - low)

    parts = [_tick(tick, at(0, tick)[1]) for tick in ticks]
    for place, stretch in enumerate(stretches):
        x0, x1 = at(stretch.start, low)[0], at(stretch.end, low)[0]
        if place % 2:
            parts.append(
                Markup('<rect class="band" x="{:.1f}" y="{}" width="{:.1f}" height="{}"/>').format(
                    x0, TOP, x1 - x0, BOTTOM - TOP
                )
            )
        parts.append(text((x0 + x1) / 2, BOTTOM + 20, stretch.name, "middle"))
    parts.append(text(RIGHT, BOTTOM + 48, f"steps, {end:g} in all", "end"))
    for number, line in enumerate(lines):
        for part in line.parts:
            shown = [at(x, y) for x, y in thinned(part) if math.isfinite(y)]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in shown)
            parts.append(Markup('<polyline class="line s{}" points="{}"/>').format(number, path))
            if len(shown) < 60:
                parts += [
                    Markup('<circle class="dot s{}" cx="{:.1f}" cy="{:.1f}" r="2.6"/>').format(number, *p)
                    for p in shown
                ]
    parts += _legend([line.name for line in lines])
    return drawing(title, HEIGHT, parts)


def bars_svg(title: str, rows: Sequence[tuple[str, float]]) -> Markup:
    """A bar for each value, to the right of zero or to its left, the value beside it."""
    longest = max((abs(value) for _, value in rows), default=0.0) or 1.0
    left, right = 200, 470  # of the bars; names stand before, numbers behind
    # Where some values are negative, a third of the room is theirs.
    zero = left + (90 if any(value < 0 for _, value in rows) else 0)
    scale = (right - zero) / longest
    if zero > left:
        scale = min(scale, (zero - left) / max(-value for _, value in rows))
    parts: list[Markup] = []
    for place, (label, value) in enumerate(rows):
        y, length = 12 + 26 * place, max(abs(value) * scale, 0.5)
        x = zero if value >= 0 else zero - length
        parts.append(text(left - 8, y + 13, label if len(label) < 26 else f"…{label[-24:]}", "end"))
        parts.append(
            Markup('<rect class="bar {}" x="{:.1f}" y="{}" width="{:.1f}" height="17" rx="2"/>').format(
                "s1" if value > 0 else "s0", x, y, length
            )
        )
        parts.append(text(max(x + length, zero) + 8, y + 13, f"{value:+.4g}", "start"))
    return drawing(title, 26 * len(rows) + 20, parts)


def thinned(points: Points) -> Points:
    """Every so manieth point, and the last."""
    step = -(-len(points) // _MOST)
    return points if step <= 1 else (*points[:-1:step], points[-1])


def nice_range(low: float, high: float) -> tuple[float, float, list[float]]:
    """A range with round ends around some values, and round marks in it.

    >>> nice_range(0.49, 0.98)
    (0.4, 1.0, [0.4, 0.6, 0.8, 1.0])
    """
    if high - low < 1e-12:
        low, high = low - (abs(low) or 1) * 0.05, high + (abs(high) or 1) * 0.05
    rough = (high - low) / 3
    base = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * base for factor in (1, 2, 2.5, 5, 10) if factor * base >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [round(place * step, 12) for place in range(first, last + 1)]
    return ticks[0], ticks[-1], ticks


def _tick(value: float, y: float) -> Markup:
    line = Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(LEFT, RIGHT, y, y)
    return line + text(LEFT - 8, y + 4, f"{value:g}", "end")


def _legend(names: Sequence[str]) -> list[Markup]:
    parts, x = [], float(LEFT)
    for number, name in enumerate(names):
        parts.append(
            Markup('<line class="line s{}" x1="{}" x2="{}" y1="14" y2="14"/>').format(number, x, x + 24)
        )
        parts.append(text(x + 30, 18, name, "start"))
        x += 50 + 7.2 * len(name)
    return parts


def text(x: float, y: float, said: str, anchor: str) -> Markup:
    """A text that begins, ends or has its middle at a place."""
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, said)


def drawing(title: str, height: float, parts: Sequence[Markup]) -> Markup:
    """A drawing for the page, which colours it."""
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, height, escape(title), Markup("").join(parts)
    )


def standalone(svg: Markup) -> str:
    """A drawing of the page as a file of its own, in the page's light colours."""
    colours = re.search(r":root \{.*?\}", (HERE / "page.css").read_text(), re.DOTALL)
    assert colours is not None
    style = f"{colours[0]}\n{(HERE / 'chart.css').read_text()}svg {{ background: var(--paper); }}\n"
    font = "svg text { font-family: sans-serif; }\n"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" '
    found = str(svg).replace("<svg ", head, 1)
    return found.replace(">", f"><style>\n{style}{font}</style>", 1) + "\n"
