"""``lifecycle rollback``: back to a version that was champion before."""

from __future__ import annotations

from pathlib import Path

import click

from lifecycle.cli.completed import complete_model
from lifecycle.cli.options import json_option, workspace_option
from lifecycle.cli.output import print_json, print_text
from lifecycle.cli.promote import show
from lifecycle.cli.verb import Verb
from lifecycle.core.progress import working


@click.command(
    cls=Verb,
    examples="""
    lifecycle rollback digits --reason 'worse at night'
        The champion before the present one.
    lifecycle rollback digits --to 3
        A version that was champion once.
    """,
)
@click.argument("name", shell_complete=complete_model)
@click.option("--to", "number", type=click.IntRange(min=1), help="A version that was champion once.")
@click.option("--reason", default="", help="Why; kept in the history.")
@workspace_option
@json_option
def rollback(name: str, number: int | None, reason: str, workspace: Path | None, as_json: bool) -> None:
    """Make the champion before the present one champion of NAME again.

    Twice goes back twice. The version's bytes are looked at again; its thresholds held when it was
    promoted. A server that follows NAME@champion goes back with it.
    """
    from lifecycle.promotion import promote, propose, rollback_target
    from lifecycle.tracking import find_registry
    from lifecycle.verbs.registered import Moved

    client, served = find_registry(workspace)
    target = rollback_target(client, name, number)
    with working(f"verifying {name} version {target.number}"):
        promotion = propose(client, f"models:/{name}/{target.number}", served, kind="rollback")
    if not as_json:
        show(promotion)
    moved = Moved(promotion=promotion, entry=promote(client, promotion, reason=reason))
    if as_json:
        print_json(moved.to_json())
    else:
        print_text(str(moved))
