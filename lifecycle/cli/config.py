"""``lifecycle config``: every option with where it was set, and the schema that editors read."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from lifecycle.cli.completed import PipelineFile
from lifecycle.cli.options import json_option
from lifecycle.cli.output import print_json, print_text
from lifecycle.cli.verb import Verb


@click.group()
def config() -> None:
    """Show the options of a pipeline file, or what may stand in one."""


@config.command(
    cls=Verb,
    examples="""
    lifecycle config show pipeline.yaml
        Every option, and where it was set.
    lifecycle config show pipeline.yaml prune.macs=0.5 --json
        With a value of the command line, for programs.
    """,
)
@click.argument("file", type=PipelineFile())
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@json_option
def show(file: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Show every option of the pipeline in FILE and where it was set.

    Later layers win: defaults, the file, the environment (LIFECYCLE_TRAIN__TRAINER__MAX_EPOCHS=3), the
    command line (train.trainer.max_epochs=3).
    """
    from lifecycle.pipeline.options import list_options
    from lifecycle.pipeline.spec import pipeline_of, read_layers

    layers = read_layers(file, os.environ, overrides)
    found = list_options(layers, pipeline_of(layers, file))
    if as_json:
        print_json([each.to_json() for each in found])
    else:
        rows = [(each.key, json.dumps(each.value, ensure_ascii=False), each.origin) for each in found]
        widths = [max(len(row[place]) for row in rows) for place in (0, 1)]
        for key, value, origin in rows:  # lines, not a table: whole values, and something to search in
            print_text(f"{key:<{widths[0]}}  {value:<{min(widths[1], 40)}}  {origin}")


@config.command(
    cls=Verb,
    examples="""
    lifecycle config schema > pipeline.schema.json
        For an editor that completes and checks.
    """,
)
def schema() -> None:
    """Print the JSON Schema (2020-12) of pipeline files, with the stages that are installed here.

    Written to a file, an editor completes and checks with it: see docs/pipeline-file.md.
    """
    from lifecycle.pipeline.schema import file_schema
    from lifecycle.stages.trainer_options import trainer_options

    print_json(file_schema({"trainer": trainer_options()}))
