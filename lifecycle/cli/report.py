"""``lifecycle report``: the page that the last run ended with."""

from __future__ import annotations

from pathlib import Path

import click

from lifecycle.cli.options import workspace_option
from lifecycle.cli.output import print_text
from lifecycle.cli.verb import Verb


@click.command(
    cls=Verb,
    examples="""
    lifecycle report
        Where the page of the last run is.
    lifecycle report --open
        The page, in the browser.
    """,
)
@click.option("--open", "opened", is_flag=True, help="Show it in the browser.")
@workspace_option
def report(opened: bool, workspace: Path | None) -> None:
    """Print where the page of the last run is: one HTML file, to look at, print or send."""
    from lifecycle.report.run import newest_report
    from lifecycle.workspace import find_workspace

    path = newest_report(find_workspace(workspace))
    print_text(str(path))
    if opened:
        click.launch(str(path))
