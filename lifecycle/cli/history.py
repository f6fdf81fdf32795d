"""``lifecycle history``: who was champion, since when, and why."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lifecycle.cli.completed import complete_model
from lifecycle.cli.options import json_option, workspace_option
from lifecycle.cli.output import print_json, print_note, print_table, print_text
from lifecycle.cli.verb import Verb

if TYPE_CHECKING:
    from lifecycle.core.canonical import JSON
    from lifecycle.history import Entry


@click.command(
    cls=Verb,
    examples="""
    lifecycle history digits
        Every promotion: which version, when, by whom, and why.
    lifecycle history digits --at 2026-11-01
        Who was champion then.
    """,
)
@click.argument("name", shell_complete=complete_model)
@click.option("--to", "alias", default="champion", show_default=True, help="The history of which alias.")
@click.option("--at", "when", metavar="TIME", help="Who it was then: 2026-11-01 or 2026-11-01T12:00.")
@click.option("--repair", is_flag=True, help="Move an alias back that others have moved.")
@workspace_option
@json_option
def history(
    name: str, alias: str, when: str | None, repair: bool, workspace: Path | None, as_json: bool
) -> None:
    """Show every promotion of NAME: which version, when, by whom, and why."""
    from lifecycle.core.errors import UsageError
    from lifecycle.ledger import Ledger, moved_by_others
    from lifecycle.registry import known_model
    from lifecycle.tracking import find_registry

    client, _ = find_registry(workspace)
    known_model(client, name)
    ledger = Ledger(client, name)
    astray = ledger.settle(alias, repair=repair)
    found = ledger.read()
    if when is None:
        entries = found.of(alias)
    else:
        then = found.at(_time(when), alias)
        if then is None:
            raise UsageError(f"{name} had no {alias} at {when} that `lifecycle promote` made")
        entries = [then]
    if as_json:
        print_json([_plain(entry) for entry in entries])
    elif when is not None:
        print_text(_sentence(name, entries[0]))
    elif not entries:
        print_text(f"{name} was never promoted to {alias}.")
    else:
        print_table(f"{name}@{alias}", ("when", "version", "before", "how", "who", "why"), _rows(entries))
    if astray is not None:
        print_note(moved_by_others(astray, name))


def _rows(entries: list[Entry]) -> list[list[str]]:
    from lifecycle.ledger import local_time

    return [
        [
            local_time(entry.at),
            str(entry.version),
            str(entry.before or ""),
            f"{entry.kind}{', forced' if entry.forced else ''}",
            entry.actor,
            entry.reason,
        ]
        for entry in entries
    ]


def _sentence(name: str, entry: Entry) -> str:
    from lifecycle.ledger import local_time

    why = f": {entry.reason}" if entry.reason else ""
    return (
        f"{name}@{entry.alias} was version {entry.version}, since {local_time(entry.at)}, by {entry.kind} of "
        f"{entry.actor}{why}"
    )


def _plain(entry: Entry) -> JSON:
    return {
        "number": entry.number,
        "at": entry.at.isoformat(),
        "alias": entry.alias,
        "version": entry.version,
        "before": entry.before,
        "kind": entry.kind,
        "actor": entry.actor,
        "reason": entry.reason,
        "forced": entry.forced,
        "rows": [row.to_json() for row in entry.verdict],
    }


def _time(text: str) -> datetime:
    """A time as the reader's clock shows it, unless it says otherwise.

    Raises:
        UsageError: it is none.
    """
    from lifecycle.core.errors import UsageError

    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise UsageError(
            f"--at {text!r}: expected a time such as 2026-11-01 or 2026-11-01T12:00, with +02:00 or Z at will"
        ) from None
