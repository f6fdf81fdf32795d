"""``lifecycle doctor``: what is wrong here, and what to mend."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from lifecycle.cli.options import json_option, workspace_option
from lifecycle.cli.output import painted, print_json, print_note, print_text
from lifecycle.cli.verb import Verb

MARKS = {"ok": "ok    ", "note": "note  ", "broken": "BROKEN"}
COLOURS = {"ok": "green", "note": "yellow", "broken": "red"}


@click.command(
    cls=Verb,
    examples="""
    lifecycle doctor
        What is wrong here, and what mends it.
    lifecycle doctor --json --workspace .lifecycle
        The same of one workspace, for programs.
    """,
)
@workspace_option
@json_option
def doctor(workspace: Path | None, as_json: bool) -> None:
    """Check installation, devices, plug-ins, workspace, tracking store and registry; change nothing.

    The exit code is 1 if something is broken.
    """
    from lifecycle import verbs

    found = []
    for finding in verbs.doctor(workspace):
        found.append(finding)
        if not as_json:
            mark = painted(MARKS[finding.state], COLOURS[finding.state], sys.stdout)
            print_text(f"{mark}  {finding.area}: {finding.what}")
            if finding.mend:
                print_text(f"        → {finding.mend}")
    if as_json:
        print_json([finding.to_json() for finding in found])
    broken = sum(finding.state == "broken" for finding in found)
    if broken:
        print_note(f"{broken} broken: mend what the arrows say.")
        sys.exit(1)
