"""``lifecycle promote``: the champion moves if the gates hold."""

from __future__ import annotations

from pathlib import Path

import click

from lifecycle.cli.options import json_option, workspace_option
from lifecycle.cli.output import print_json, print_table, print_text


@click.command()
@click.argument("name")
@click.argument("version", default="@challenger")
@workspace_option
@json_option
def promote(name: str, version: str, workspace: Path | None, as_json: bool) -> None:
    """Make VERSION of the registered model NAME its champion, if its gates hold.

    VERSION is a number or an @alias. The thresholds are those of the pipeline file that registered it;
    without any, nothing is promoted. Exit code 3 means that a gate refused.
    """
    from lifecycle.gates import judge, move_champion, propose
    from lifecycle.tracking import find_registry

    client, served = find_registry(workspace)
    proposal = propose(client, _uri(name, version))
    rows = judge(client, proposal, served)
    if as_json:
        print_json(
            {"name": name, "version": proposal.candidate.number, "rows": [row.to_json() for row in rows]}
        )
    else:
        table = [[row.term, row.measured, row.limit, "ok" if row.holds else "refused"] for row in rows]
        print_table(f"{name} version {proposal.candidate.number}", ("gate", "measured", "allowed", ""), table)
    move_champion(client, proposal, rows)
    if not as_json:
        print_text(f"{name}@champion is version {proposal.candidate.number}{_formerly(proposal.champion)}.")


def _uri(name: str, version: str) -> str:
    return f"models:/{name}{version}" if version.startswith("@") else f"models:/{name}/{version}"


def _formerly(champion: object) -> str:
    number = getattr(champion, "number", None)
    return f", before it was version {number}" if number else ""
