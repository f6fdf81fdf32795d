"""``lifecycle plan``: what a run would do and why, without doing any of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lifecycle.cli.completed import PipelineFile
from lifecycle.cli.options import json_option, workspace_option
from lifecycle.cli.outcomes import read
from lifecycle.cli.output import print_json, print_note, print_table, print_text
from lifecycle.cli.verb import Verb

if TYPE_CHECKING:
    from lifecycle.core.canonical import JSON
    from lifecycle.pipeline.plan import Planned

COLUMNS = ("stage", "what", "took last", "why")


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
    from lifecycle.pipeline.fingerprint import changed_files, kept_fingerprint
    from lifecycle.pipeline.journal import Journal
    from lifecycle.pipeline.keys import UNKNOWN, setting_of
    from lifecycle.pipeline.plan import plan_stages
    from lifecycle.pipeline.runner import check_order

    pipeline, place = read(file, overrides, workspace)
    check_order(pipeline.stages)
    journal = Journal(place.journal)
    project = pipeline.project
    fingerprint = kept_fingerprint(project, journal)
    setting = setting_of(project, pipeline.budget, pipeline.seed, fingerprint or UNKNOWN)
    planned = plan_stages(pipeline.stages, setting, cache=place.cache, journal=journal)
    touched = changed_files(project, journal)
    if as_json:
        print_json(_to_json(planned, touched))
        return
    print_table(f"Plan of {project.name}", COLUMNS, [_row(each) for each in planned], text=("what", "why"))
    print_text(_total(planned))
    if touched:
        print_note(f"Files of data that changed: {', '.join(touched[:5])}{' …' if len(touched) > 5 else ''}")


def _row(planned: Planned) -> list[str]:
    took = "" if planned.last_s is None else _duration(planned.last_s)
    return [planned.stage, planned.action, took, "; ".join(planned.reasons)]


def _total(planned: Sequence[Planned]) -> str:
    from lifecycle.pipeline.plan import estimate

    seconds, unknown = estimate(planned)
    due = sum(each.action != "cached" for each in planned)
    if not due:
        return "Nothing to run: every result is there."
    if unknown == due:
        return f"{due} to run; how long it takes is not known: none of them ran before."
    more = f" and what {unknown} that never ran take" if unknown else ""
    return f"{due} to run, about {_duration(seconds)}{more}, by how long they took last."


def _duration(seconds: float) -> str:
    """As people say it.

    >>> _duration(0.42), _duration(75), _duration(7384)
    ('0.4 s', '1 min 15 s', '2 h 3 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _to_json(planned: Sequence[Planned], touched: Sequence[str]) -> JSON:
    from lifecycle.pipeline.plan import estimate

    seconds, unknown = estimate(planned)
    stages: list[JSON] = [
        {
            "stage": each.stage,
            "action": each.action,
            "reasons": list(each.reasons),
            "last_seconds": each.last_s,
            "digest": each.digest,
        }
        for each in planned
    ]
    return {
        "stages": stages,
        "estimate": {"seconds": round(seconds, 3), "stages_without_a_time": unknown},
        "changed_files": list(touched),
    }
