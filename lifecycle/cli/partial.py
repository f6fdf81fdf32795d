"""Verbs that run a pipeline file up to one of its stages, and say what came out."""

from __future__ import annotations

from pathlib import Path

import click

from lifecycle.cli.completed import PipelineFile
from lifecycle.cli.options import Waiting, json_option, wait_option, workspace_option
from lifecycle.cli.outcomes import read, run_reported, show
from lifecycle.cli.output import print_note


def verb_up_to(stage: str, *, text: str, examples: str) -> click.Command:
    """A command that runs the stages of a pipeline file from the first to a named one.

    Args:
        stage: The last to run; it names the command too.
        text: What it does, for its help.
        examples: As `lifecycle.cli.verb.Verb` takes them.
    """

    @click.command(stage, cls=Waiting, examples=examples, help=text)
    @click.argument("file", type=PipelineFile())
    @click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
    @workspace_option
    @wait_option
    @json_option
    def verb(
        file: Path, overrides: tuple[str, ...], workspace: Path | None, wait: float, as_json: bool
    ) -> None:
        from lifecycle.verbs.pipelines import up_to

        pipeline, place = read(file, overrides, workspace)
        pipeline = up_to(pipeline, stage)
        outcomes, page = run_reported(pipeline, place, wait_s=wait)
        print_note(f"Report: {page}")
        show(f"Pipeline {pipeline.project.name}, up to {stage}", outcomes, as_json=as_json)

    return verb
