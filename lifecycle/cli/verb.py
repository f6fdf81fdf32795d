"""A verb: a command whose help ends with examples, and which can be told to be quiet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from lifecycle.core.progress import hush


def _hush(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        hush()


class Verb(click.Command):
    """A command with examples.

    Args:
        examples: What to type, and what it does, as they stand below the help.
    """

    def __init__(self, *args: Any, examples: Sequence[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)
        self.params.append(
            click.Option(
                ["-q", "--quiet"],
                is_flag=True,
                expose_value=False,
                is_eager=True,
                callback=_hush,
                help="Say nothing but results, warnings and errors.",
            )
        )

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples, each as it is typed and below it what it does."""
        with formatter.section("Examples"):
            for line, purpose in self.examples:
                # Lines are never broken: they are copied.
                formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
                formatter.write(f"{'':>{formatter.current_indent}}    {purpose}\n")
