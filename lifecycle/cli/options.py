"""Options that several verbs share."""

from __future__ import annotations

import math
from pathlib import Path

import click

from lifecycle.cli.verb import Verb

workspace_option = click.option(
    "--workspace",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="LIFECYCLE_WORKSPACE",
    show_envvar=True,
    help="Where results are kept; by default .lifecycle/ beside the pipeline file.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
wait_option = click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="[SECONDS]",
    help="Wait for another run in this workspace to end, at most so long; without a number, until it has.",
)


class Waiting(Verb):
    """A command with `wait_option`, whose number may be left out wherever it stands."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read a bare ``--wait`` as one without end, and not what follows it as its number."""
        return super().parse_args(ctx, [_spelled_out(args, index) for index in range(len(args))])


def _spelled_out(args: list[str], index: int) -> str:
    following = args[index + 1] if index + 1 < len(args) else ""
    return f"--wait={math.inf}" if args[index] == "--wait" and not _is_number(following) else args[index]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
