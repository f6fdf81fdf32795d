"""Figures in words: numbers with as many digits as they bear, and bars."""

from __future__ import annotations

from .figure import Figure

SIGNS = {"<=": "≤", ">=": "≥"}
ENDS = {"value": "", "low": " at the lower end", "high": " at the upper end"}


def cell(figure: Figure) -> str:
    """The value with its unit and its interval.

    >>> cell(Figure(table="t", row="r", unit="×", value=1.2912, low=1.25, high=1.3801))
    '× 1.29 [1.25, 1.38]'
    >>> cell(Figure(table="t", row="r", unit="requests/s", value=1500.4))
    '1,500/s'
    """
    if figure.unit == "yes/no":
        return "yes" if figure.value else "no"
    places = _places(figure)
    shown = number(figure.value, figure.unit, places)
    if figure.low is None or figure.high is None:
        return shown
    low, high = (_plain(end, figure.unit, places) for end in (figure.low, figure.high))
    return f"{shown} [{low}, {high}]"


def number(value: float, unit: str, places: int) -> str:
    """A number with its unit."""
    plain = _plain(value, unit, places)
    if unit == "×":
        return f"× {plain}"
    if unit == "requests/s":
        return f"{plain}/s"
    return plain if unit in ("", "calls", "points") else f"{plain} {unit}"


def aim(figure: Figure) -> str:
    """The bar, and whether it holds; empty without one."""
    bar = figure.bar
    if bar is None:
        return ""
    text = f"{SIGNS[bar.sign]} {bar.limit:g}{ENDS[bar.judged]}"
    if figure.unit == "yes/no":
        text = "yes" if bar.limit else "no"
    elif (bar.sign, bar.limit) == ("<=", 0):
        text = "none"
    return f"{text}: holds" if figure.holds else f"{text}: **not reached**"


def _plain(value: float, unit: str, places: int) -> str:
    sign = "+" if unit in ("points", "%") else ""
    text = f"{value:{sign},.{places}f}"
    return text.replace("-", "−")


def _places(figure: Figure) -> int:
    value, unit = abs(figure.value), figure.unit
    if unit == "calls" or (not unit and value == round(value)):
        return 0
    if unit in ("points", "%"):
        return 2
    if unit == "×" and abs(value - 1) < 0.002 and figure.low is None:
        return 4
    if value >= 100:
        return 0
    if value >= 10:
        return 1
    return 2 if value >= 0.1 or value == 0 else 4
