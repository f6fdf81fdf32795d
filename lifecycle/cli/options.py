"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path

import click

workspace_option = click.option(
    "--workspace",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="LIFECYCLE_WORKSPACE",
    show_envvar=True,
    help="Where results are kept; by default .lifecycle/ beside the pipeline file.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
