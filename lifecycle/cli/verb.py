"""A verb: a command whose help ends with examples, and which can be told to be quiet."""

from __future__ import annotations

from textwrap import dedent, indent
from typing import Any

import click

from lifecycle.core.progress import hush


def _hush(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        hush()


class Verb(click.Command):
    """A command with examples.

    Args:
        examples: Lines as they are typed, each with what it does indented below.
    """

    def __init__(self, *args: Any, examples: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = dedent(examples).strip("\n").rstrip()
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
        """The examples, whose lines are never broken: they are copied."""
        with formatter.section("Examples"):
            formatter.write(indent(self.examples, "  ") + "\n")
