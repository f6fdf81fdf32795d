"""``lifecycle plan``: what a run would do and why, without doing any of it."""

from __future__ import annotations

from pathlib import Path

import click

from lifecycle.cli.completed import PipelineFile
from lifecycle.cli.options import json_option, workspace_option
from lifecycle.cli.outcomes import read
from lifecycle.cli.output import print_json, print_note, print_table, print_text
from lifecycle.cli.verb import Verb


@click.command(
    cls=Verb,
    examples="""
    lifecycle plan pipeline.yaml
        What a run would do, why, and how long it may take.
    lifecycle plan pipeline.yaml prune.macs=0.1
        What another value would change.
    """,
)
@click.argument("file", type=PipelineFile())
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@workspace_option
@json_option
def plan(file: Path, overrides: tuple[str, ...], workspace: Path | None, as_json: bool) -> None:
    """Show which stages of the pipeline in FILE would run, go on or be reused, and why.

    Sources and a journal are read as text: nothing of the project is run. KEY=VALUE asks what a value would
    change, as in: prune.macs=0.1
    """
    from lifecycle.verbs.pipelines import plan_of

    found = plan_of(*read(file, overrides, workspace))
    if as_json:
        print_json(found.to_json())
        return
    print_table(f"Plan of {found.name}", found.columns, found.rows, text=("what", "why"))
    print_text(found.total)
    if touched := found.changed_files:
        print_note(f"Files of data that changed: {', '.join(touched[:5])}{' …' if len(touched) > 5 else ''}")
