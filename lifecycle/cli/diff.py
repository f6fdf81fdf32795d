"""``lifecycle diff``: what two versions differ in."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from lifecycle.cli.completed import complete_model
from lifecycle.cli.options import json_option, workspace_option
from lifecycle.cli.output import print_json, print_table, print_text
from lifecycle.cli.verb import Verb
from lifecycle.verbs.places import uri_of


@click.command(
    cls=Verb,
    examples="""
    lifecycle diff digits @champion @challenger
        Options, code, data, metrics, size and latency.
    lifecycle diff digits 3 7 --json
        The same of two versions, for programs.
    """,
)
@click.argument("name", shell_complete=complete_model)
@click.argument("first")
@click.argument("second")
@workspace_option
@json_option
def diff(name: str, first: str, second: str, workspace: Path | None, as_json: bool) -> None:
    """Show in what two versions of NAME differ: options, code, data, libraries, metrics, size, latency.

    FIRST and SECOND are numbers or @aliases: lifecycle diff digits @champion @challenger
    """
    from lifecycle.registry import find_version
    from lifecycle.tracking import find_registry
    from lifecycle.verbs.registered import differences_of

    client, served = find_registry(workspace)
    versions = [find_version(client, uri_of(name, each)) for each in (first, second)]
    found = differences_of(client, served, versions)
    one, other = (f"version {version.number}" for version in versions)
    if as_json:
        print_json([asdict(each) for each in found])
    elif not found:
        print_text(f"{name}: {one} and {other} do not differ in anything that is known of them.")
    else:
        rows = [[each.section, each.name, each.before, each.after, each.change] for each in found]
        print_table(f"{name}: {one} and {other}", ("", "what", one, other, "change"), rows)
