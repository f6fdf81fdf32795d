"""``lifecycle promote``: the champion moves if the gates hold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lifecycle.cli.completed import complete_model
from lifecycle.cli.options import json_option, workspace_option
from lifecycle.cli.output import print_json, print_note, print_table, print_text
from lifecycle.cli.verb import Verb
from lifecycle.core.errors import UsageError
from lifecycle.core.progress import working
from lifecycle.verbs.places import uri_of

if TYPE_CHECKING:
    from lifecycle.promotion import Promotion


@click.command(
    cls=Verb,
    examples="""
    lifecycle promote digits
        The challenger becomes champion, if its gates hold.
    lifecycle promote digits 7 --dry-run
        Only what the gates find of version 7.
    lifecycle promote digits @challenger --force --reason 'hotfix of 12 May'
        In spite of a gate that refuses; kept in the history.
    """,
)
@click.argument("name", shell_complete=complete_model)
@click.argument("version", default="@challenger")
@click.option("--to", "alias", default="champion", show_default=True, help="What it is to become.")
@click.option("--to-model", metavar="NAME", help="Copy it to this registered model, and promote it there.")
@click.option("--to-registry", metavar="URI", help="Copy it to this registry, and promote it there.")
@click.option("--reason", default="", help="Why; kept in the history.")
@click.option("--dry-run", is_flag=True, help="Only show what the gates find.")
@click.option("--force", is_flag=True, help="Overrule gates that refuse; needs --reason, and is kept.")
@workspace_option
@json_option
def promote(
    name: str,
    version: str,
    alias: str,
    to_model: str | None,
    to_registry: str | None,
    reason: str,
    dry_run: bool,
    force: bool,
    workspace: Path | None,
    as_json: bool,
) -> None:
    """Make VERSION of the registered model NAME its champion, if its gates hold.

    VERSION is a number or an @alias. The thresholds are those of the pipeline file that registered it;
    without any, nothing is promoted. Exit code 3 means that a gate refused, 4 that somebody else moved the
    champion meanwhile.
    """
    from lifecycle.core.verdict import require
    from lifecycle.promotion import check_reason, propose
    from lifecycle.promotion import promote as move
    from lifecycle.tracking import find_registry
    from lifecycle.verbs.registered import Moved, copied

    check_reason(reason, force=force)  # before anything is copied
    client, served = find_registry(workspace)
    uri = uri_of(name, version)
    if to_model or to_registry:
        if dry_run:
            raise UsageError("--dry-run copies nothing: leave out --to-model and --to-registry")
        client, uri = copied(client, uri, served, to_model, to_registry, force=force, tell=print_note)
    with working(f"judging {name} {version}"):
        promotion = propose(client, uri, served, alias=alias)
    if not as_json:
        show(promotion)
    entry = None
    try:
        if dry_run:
            require(promotion.rows, f"{name} version {promotion.candidate.number} would not be promoted")
        else:
            entry = move(client, promotion, reason=reason, force=force)
    finally:
        if as_json:
            print_json(Moved(promotion=promotion, entry=entry).to_json())
    if as_json:
        return
    if dry_run:
        number = promotion.candidate.number
        print_text(f"{name}@{alias} would be version {number}; nothing was moved.")
    else:
        print_text(str(Moved(promotion=promotion, entry=entry)))


def show(promotion: Promotion) -> None:
    """Every gate, as a table."""
    rows = [["ok" if row.holds else "REFUSED", row.term, row.measured, row.limit] for row in promotion.rows]
    title = f"{promotion.candidate.name} version {promotion.candidate.number}"
    columns = ("", "gate", "measured", "allowed")
    print_table(title, columns, rows, text=columns[1:], marks={"ok": "green", "REFUSED": "bold red"})
