"""``lifecycle run``: a pipeline file from its first stage to its last."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from lifecycle.cli.completed import PipelineFile
from lifecycle.cli.options import Waiting, json_option, wait_option, workspace_option
from lifecycle.cli.outcomes import run_reported
from lifecycle.cli.output import print_json, print_note, print_table, print_text


@click.command(
    cls=Waiting,
    examples="""
    lifecycle run pipeline.yaml
        All stages; those whose result is there are not run again.
    lifecycle run pipeline.yaml train.trainer.max_epochs=3 prune.macs=0.5
        The same with other values, this once.
    lifecycle run pipeline.yaml --wait 600 --quiet --json
        For scripts: waits for another run, prints JSON alone.
    """,
)
@click.argument("file", type=PipelineFile())
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@workspace_option
@wait_option
@json_option
def run(file: Path, overrides: tuple[str, ...], workspace: Path | None, wait: float, as_json: bool) -> None:
    """Run the pipeline in FILE; stages whose result is there already are not run again.

    KEY=VALUE sets an option for this run, as in: train.trainer.max_epochs=3
    """
    from lifecycle.pipeline.spec import read_pipeline
    from lifecycle.report.summary import (
        LATENCY_COLUMNS,
        MODEL_COLUMNS,
        STAGE_COLUMNS,
        STEP_COLUMNS,
        before_after,
        latency_rows,
        outcome_json,
        stage_rows,
        step_rows,
    )
    from lifecycle.workspace import FOLDER, Workspace

    pipeline = read_pipeline(file, os.environ, overrides)
    place = Workspace((workspace or file.parent / FOLDER).resolve())
    outcomes, page = run_reported(pipeline, place, wait_s=wait)
    if as_json:
        print_note(f"Report: {page}")
        print_json([outcome_json(outcome) for outcome in outcomes])
        return
    print_table(f"Pipeline {pipeline.project.name}", STAGE_COLUMNS, stage_rows(outcomes))
    for outcome in outcomes:
        if outcome.artifact.kind == "evaluation":
            print_table("Before and after", MODEL_COLUMNS, before_after(outcome.artifact))
            if len(steps := step_rows(outcome.artifact)) > 2:
                print_table("Step by step", STEP_COLUMNS, steps)
            print_table("Latency", LATENCY_COLUMNS, latency_rows(outcome.artifact))
    print_text(f"Report: {page}")
    registered = [outcome.artifact for outcome in outcomes if outcome.artifact.kind == "version"]
    for artifact in registered:
        content = artifact.read_json("version.json")
        print_text(f"Registered {content['name']} version {content['number']}.")
        where = shlex.quote(os.path.relpath(place.path))
        print_note(f"Next: lifecycle promote {content['name']} --workspace {where}")
