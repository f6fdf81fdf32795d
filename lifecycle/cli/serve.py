"""``lifecycle serve``: a registered version behind an HTTP endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lifecycle.cli.options import workspace_option
from lifecycle.cli.output import print_note
from lifecycle.core.errors import UsageError

if TYPE_CHECKING:
    from lifecycle.serve.settings import ServedModel


@click.command()
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for every network."
)
@click.option("--port", default=3000, show_default=True, help="Port to listen on; 0 for any free one.")
@click.option("--workers", type=int, help="Processes; by default one to four cores that may be used.")
@click.option(
    "--threads", type=int, help="ONNX Runtime threads of each worker; by default its share of the cores."
)
@click.option("--batch-size", default=32, show_default=True, help="Samples computed together at most.")
@click.option(
    "--batch-deadline-ms",
    default=2.0,
    show_default=True,
    help="How long a request may wait for company while the model is in demand.",
)
@click.option("--queue-limit", default=256, show_default=True, help="Requests of a model that may wait.")
@click.option(
    "--deadline-ms",
    default=1000.0,
    show_default=True,
    help="A request that would wait longer is refused at once.",
)
@workspace_option
def serve(models: tuple[str, ...], workspace: Path | None, **options: Any) -> None:
    """Serve each MODEL: models:/NAME@ALIAS, models:/NAME/VERSION, or the folder of a bundle.

    SIGTERM and Ctrl-C finish the requests at work and stop.
    """
    from lifecycle.serve.process import run_server
    from lifecycle.serve.settings import Settings

    run_server(Settings(models=tuple(_resolve(model, workspace) for model in models), **options))


def _resolve(model: str, workspace: Path | None) -> ServedModel:
    """What is to be served; verified."""
    from lifecycle.core.artifact import open_artifact
    from lifecycle.serve.settings import ServedModel

    if not model.startswith("models:/"):
        if not Path(model).is_dir():
            raise UsageError(f"'{model}' is neither models:/NAME@ALIAS, models:/NAME/VERSION nor a folder")
        bundle = open_artifact(Path(model), "bundle")
        name = Path(model).resolve().parent.name
        return ServedModel(name=name, version=bundle.digest[:12], bundle=bundle.path)
    from lifecycle.registry import fetch, find_version
    from lifecycle.tracking import find_registry

    client, served = find_registry(workspace)
    version = find_version(client, model)
    print_note(f"{model} is version {version.number}, digest {version.digest[:12]}")
    bundle, _ = fetch(client, version, served)
    follow = model if "@" in model else None
    return ServedModel(name=version.name, version=str(version.number), bundle=bundle.path, follow=follow)
