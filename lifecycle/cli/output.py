"""Where the command line prints: data to standard output, everything else to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

import click

from lifecycle.core.canonical import JSON, finite
from lifecycle.core.colour import colourful
from lifecycle.core.progress import hushed
from lifecycle.core.secrets import mask

if TYPE_CHECKING:
    from rich.console import JustifyMethod


def print_json(value: JSON) -> None:
    """Data for programs."""
    print(mask(json.dumps(finite(value), indent=2, ensure_ascii=False)))


def print_text(text: str) -> None:
    """Data for people."""
    print(mask(text))


def print_note(text: str) -> None:
    """What happens meanwhile; nothing under ``--quiet``."""
    if not hushed():
        print(mask(text), file=sys.stderr, flush=True)


def print_warning(text: str) -> None:
    """What somebody should know before it hurts."""
    print(f"{painted('warning:', 'yellow', sys.stderr)} {mask(text)}", file=sys.stderr, flush=True)


def print_error(text: str) -> None:
    """What went wrong, and what to do."""
    print(f"{painted('error:', 'red', sys.stderr)} {mask(text)}", file=sys.stderr, flush=True)


def painted(text: str, colour: str, stream: TextIO) -> str:
    """In colour, where that stream is written to in colour."""
    return click.style(text, fg=colour, bold=True) if colourful(stream) else text


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    text: Sequence[str] = (),
    marks: Mapping[str, str] | None = None,
) -> None:
    """A table; the first column is text, the others are aligned to the right.

    Columns named in `text` are text too, which is folded where the table would be too wide.
    Cells that are one of `marks` have its style, in colour.
    """
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=SIMPLE, title_style="bold")
    for index, column in enumerate(columns):
        left = index == 0 or column in text
        justify: JustifyMethod = "left" if left else "right"
        table.add_column(column, justify=justify, no_wrap=column not in text, overflow="fold")
    for row in rows:
        table.add_row(*(Text(mask(cell), style=(marks or {}).get(cell, "")) for cell in row))
    colour = colourful(sys.stdout)
    Console(
        # A pipe has no width of its own; 80 columns would cut digests and file sizes.
        width=None if sys.stdout.isatty() else 120,
        force_terminal=colour,
        color_system="standard" if colour else None,
        markup=False,
    ).print(table)
