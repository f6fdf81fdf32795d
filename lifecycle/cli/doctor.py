"""``lifecycle doctor``: what is wrong here, and what to mend."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lifecycle.cli.options import json_option, workspace_option
from lifecycle.cli.output import painted, print_json, print_note, print_text
from lifecycle.cli.verb import Verb

if TYPE_CHECKING:
    from lifecycle.doctor.finding import Finding

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
    found = []
    for finding in _findings(workspace):
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


def _findings(given: Path | None) -> Iterator[Finding]:
    from lifecycle.core.errors import UsageError
    from lifecycle.doctor.finding import Finding
    from lifecycle.doctor.installation import devices, installation, plug_ins
    from lifecycle.doctor.registry import tracking_findings
    from lifecycle.doctor.workspace import workspace_findings
    from lifecycle.workspace import find_workspace

    yield from installation()
    yield from devices()
    yield from plug_ins()
    try:
        place = find_workspace(given)
    except UsageError:
        if given is not None:
            raise
        yield Finding(area="workspace", what="none here: the first run makes one beside its pipeline file")
        yield from tracking_findings(None)
    else:
        yield from workspace_findings(place)
        yield from tracking_findings(place)
