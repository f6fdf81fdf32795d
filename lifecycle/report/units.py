"""Counts, bytes and times as people read them."""

from __future__ import annotations


def count_text(value: float) -> str:
    """Thousands and millions.

    >>> count_text(478528), count_text(2116224), count_text(7)
    ('478.5 k', '2.116 M', '7')
    """
    if value < 1e3:
        return f"{value:g}"
    return f"{value / 1e6:.3f} M" if value >= 1e6 else f"{value / 1e3:.1f} k"


def size_text(value: float) -> str:
    """Bytes, as kilobytes or megabytes of 10^3 and 10^6.

    >>> size_text(21046), size_text(44_700_000)
    ('21.0 kB', '44.7 MB')
    """
    return f"{value / 1e3:.1f} kB" if value < 10e6 else f"{value / 1e6:.1f} MB"


def milliseconds_text(value: float) -> str:
    """Latency.

    >>> milliseconds_text(0.0304), milliseconds_text(237.125)
    ('0.030 ms', '237 ms')
    """
    return f"{value:.3f} ms" if value < 100 else f"{value:.0f} ms"
