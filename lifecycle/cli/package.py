"""``lifecycle package``: a folder from which an image of a model is built."""

from __future__ import annotations

from pathlib import Path

import click

from lifecycle.cli.options import json_option, workspace_option
from lifecycle.cli.output import print_json, print_note, print_text
from lifecycle.cli.verb import Verb
from lifecycle.core.progress import working
from lifecycle.verbs.models import find_model


@click.command(
    cls=Verb,
    examples="""
    lifecycle package models:/digits@champion
        A folder to build an image from.
    lifecycle package models:/digits/3 --into image
        Of a version, into a folder of one's own.
    """,
)
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder to write; by default NAME-VERSION-image here.",
)
@workspace_option
@json_option
def package(models: tuple[str, ...], into: Path | None, workspace: Path | None, as_json: bool) -> None:
    """Write a Bento and a Containerfile that serve each MODEL.

    MODEL is models:/NAME@ALIAS, models:/NAME/VERSION, or the folder of a bundle. The image stays with the
    version that the alias means now; it holds no torch, and asks no registry.
    """
    from lifecycle.serve.packaging.packing import image_tag, pack

    found = [find_model(model, workspace, follow=False, tell=print_note) for model in models]
    tag = image_tag(found)
    with working("opening the models and building a Bento"):
        made = pack(found, into or Path(f"{tag.replace(':', '-')}-image"))
    if as_json:
        print_json({"folder": str(made), "tag": tag})
    else:
        print_text(f"{made}\nBuild it with: docker build -t {tag} -f {made}/Containerfile {made}")
