"""Where the command line prints: data to standard output, everything else to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lifecycle.core.canonical import JSON, finite
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
    """What happens meanwhile."""
    print(mask(text), file=sys.stderr, flush=True)


def print_error(text: str) -> None:
    """What went wrong, and what to do."""
    print(mask(f"error: {text}"), file=sys.stderr, flush=True)


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    text: Sequence[str] = (),
) -> None:
    """A table; the first column is text, the others are aligned to the right.

    Columns named in `text` are text too, which is folded where the table would be too wide.
    """
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=SIMPLE, title_style="bold")
    for index, column in enumerate(columns):
        left = index == 0 or column in text
        justify: JustifyMethod = "left" if left else "right"
        table.add_column(column, justify=justify, no_wrap=column not in text, overflow="fold")
    for row in rows:
        table.add_row(*map(mask, row))
    console = Console()
    # A pipe has no width of its own; 80 columns would cut digests and file sizes.
    Console(width=None if console.is_terminal else 120, markup=False).print(table)
