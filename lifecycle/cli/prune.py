"""``lifecycle prune``: a pipeline file up to its pruned checkpoint, with a table of what was tried."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from lifecycle.cli.completed import PipelineFile
from lifecycle.cli.options import Waiting, json_option, wait_option, workspace_option
from lifecycle.cli.outcomes import read, run_reported, show
from lifecycle.cli.output import print_note, print_table


@click.command(
    cls=Waiting,
    examples="""
    lifecycle prune pipeline.yaml
        Train and prune, as the file says.
    lifecycle prune pipeline.yaml prune.macs=0.25
        Keep a quarter of the multiply-accumulates.
    """,
)
@click.argument("file", type=PipelineFile())
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@workspace_option
@wait_option
@json_option
def prune(file: Path, overrides: tuple[str, ...], workspace: Path | None, wait: float, as_json: bool) -> None:
    """Run the pipeline in FILE up to its prune stage, and show what was tried.

    KEY=VALUE sets an option for this run, as in: prune.macs=0.25. Exit code 3 means that no model within
    the budget was found.
    """
    from lifecycle.verbs.pipelines import up_to

    pipeline, place = read(file, overrides, workspace)
    pipeline = up_to(pipeline, "prune")
    outcomes, page = run_reported(pipeline, place, wait_s=wait)
    print_note(f"Report: {page}")
    show(f"Pipeline {pipeline.project.name}, up to prune", outcomes, as_json=as_json)
    tried = outcomes[-1].artifact.facts.get("tried")
    if as_json or not isinstance(tried, list):
        return
    metric = pipeline.budget.metric or ""
    rows = []
    for each in tried:
        if isinstance(each, Mapping) and isinstance(each["measured"], Mapping):
            value = each["measured"].get(metric)
            verdict = "within the budget" if each["holds"] else "undone"
            shown = f"{value:.4f}" if isinstance(value, float) else ""
            rows.append([f"{each['value']:.4g}", f"{each['achieved']:.4g}", shown, verdict])
    print_table("Tried", ("asked", "reached", metric, ""), rows)
