"""Numbers as people read them."""

from __future__ import annotations

from lifecycle.report.page.table import Cell
from lifecycle.report.units import count_text, milliseconds_text, size_text


def metric(value: float | None) -> Cell:
    """Four decimals, as metrics of shares want."""
    return Cell("") if value is None else Cell(f"{value:.4f}" if abs(value) < 1e4 else f"{value:.4g}", value)


def count(value: float | None) -> Cell:
    """Thousands and millions."""
    return Cell("") if value is None else Cell(count_text(value), value)


def size(value: float | None) -> Cell:
    """Bytes."""
    return Cell("") if value is None else Cell(size_text(value), value)


def milliseconds(value: float | None) -> Cell:
    """Latency."""
    return Cell("") if value is None else Cell(milliseconds_text(value), value)


def seconds(value: float) -> Cell:
    """How long a stage took.

    >>> seconds(3.64).text, seconds(4000).text
    ('3.6 s', '1 h 07 min')
    """
    if value < 120:
        return Cell(f"{value:.1f} s", value)
    minutes = round(value / 60)
    hours = f"{minutes // 60} h {minutes % 60:02} min"
    return Cell(f"{minutes} min" if minutes < 60 else hours, value)


COSTS = {
    "macs": ("multiply-accumulates", count),
    "params": ("parameters", count),
    "size_bytes": ("ONNX file", size),
    "latency_ms": ("latency, median", milliseconds),
    "latency_p95_ms": ("latency, 95th percentile", milliseconds),
}
"""What a model costs, by the name in facts: what it is called here and how it is shown."""
