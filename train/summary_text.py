"""The summary of a module as text: numbers that people can read, and a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

Size: TypeAlias = "list[Size | int] | dict[str, Size] | str"
Columns = list[tuple[str, list[str]]]

_UNITS = ("", "K", "M", "B", "T")


def totals_of(
    total_parameters: int,
    trainable_parameters: int,
    model_size: float,
    modes: Mapping[str, int],
    total_flops: int,
) -> list[tuple[str, str]]:
    """A number as text and what it is of, for each total; operations are left out where none were counted."""
    totals = [
        (human_count(trainable_parameters), "Trainable params"),
        (human_count(total_parameters - trainable_parameters), "Non-trainable params"),
        (human_count(total_parameters), "Total params"),
        (f"{model_size:,.3f}", "Total estimated model params size (MB)"),
        (str(modes["train"]), "Modules in train mode"),
        (str(modes["eval"]), "Modules in eval mode"),
    ]
    return totals + ([(human_count(total_flops), "Total FLOPs")] if total_flops else [])


def table_text(columns: Columns, totals: Sequence[tuple[str, str]]) -> str:
    """Columns side by side, and what they add up to."""
    widths = [max(map(len, [heading, *texts])) for heading, texts in columns]
    rows = [[heading for heading, _ in columns], *zip(*(texts for _, texts in columns), strict=True)]
    lines = [
        " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    rule = "-" * (sum(widths) + 3 * (len(widths) - 1))
    return "\n".join([lines[0], rule, *lines[1:], rule, *(f"{number:<9} {what}" for number, what in totals)])


def human_count(number: int) -> str:
    """A number in three digits or so.

    >>> human_count(999), human_count(1234), human_count(132_000), human_count(5 * 10**15)
    ('999', '1.2 K', '132 K', '5,000 T')
    """
    size, unit = float(number), 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    text = f"{size:,.1f}" if unit and size < 100 else f"{int(size):,}"
    return f"{text} {_UNITS[unit]}".rstrip()


def size_text(size: Size) -> str:
    """A size as people write it: ``[2, 3]``, or ``{logits: [2, 10]}``."""
    return str(size).replace("'", "")
