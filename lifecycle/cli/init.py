"""``lifecycle init``: a new project that runs as it is."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from lifecycle.cli.output import print_note, print_text
from lifecycle.cli.verb import Verb

TEMPLATES = ("image", "tabular")


@click.command(
    cls=Verb,
    examples="""
    lifecycle init digits
        A project for images, in a new folder.
    lifecycle init tumours --template tabular --name screening
        One for rows of numbers, under a name of its own.
    """,
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--template", type=click.Choice(TEMPLATES), default="image", show_default=True, help="What the data is."
)
@click.option("--name", help="Of the experiment and the registered model; by default that of the folder.")
def init(folder: Path, template: str, name: str | None) -> None:
    """Write a project into DIR: a pipeline file, a module and its data, which run as they are.

    Nothing that stands there is overwritten.
    """
    from lifecycle.scaffold.project import make_project

    for path in make_project(folder, template, name):
        print_text(os.path.relpath(path))
    print_note(f"Next: cd {shlex.quote(os.path.relpath(folder))} && lifecycle run pipeline.yaml")
