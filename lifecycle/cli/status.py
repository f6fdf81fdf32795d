"""``lifecycle status``: where every alias leads, and whether it should."""

from __future__ import annotations

from pathlib import Path

import click

from lifecycle.cli.completed import complete_model
from lifecycle.cli.options import json_option, workspace_option
from lifecycle.cli.output import print_json, print_note, print_table, print_text
from lifecycle.cli.verb import Verb


@click.command(
    cls=Verb,
    examples="""
    lifecycle status
        Every registered model.
    lifecycle status digits --json
        One of them, for programs.
    """,
)
@click.argument("name", required=False, shell_complete=complete_model)
@workspace_option
@json_option
def status(name: str | None, workspace: Path | None, as_json: bool) -> None:
    """Show the registered models (or NAME alone): versions, aliases, the last promotion."""
    from lifecycle.ledger import moved_by_others
    from lifecycle.registry import known_model, model_names
    from lifecycle.tracking import find_registry
    from lifecycle.verbs.registered import model_status

    client, _ = find_registry(workspace)
    if name is not None:
        known_model(client, name)
    found = [model_status(client, each) for each in ([name] if name else model_names(client))]
    if as_json:
        print_json([row for row, _ in found])
    elif not found:
        print_text("No model is registered yet: `lifecycle run` registers one.")
    else:
        columns = ("model", "versions", "champion", "since", "challenger", "previous")
        rows = [["" if row[each] is None else str(row[each]) for each in columns] for row, _ in found]
        print_table("Registered models", columns, rows)
    for row, astray in found:
        if astray is not None:
            print_note(moved_by_others(astray, str(row["model"])))
