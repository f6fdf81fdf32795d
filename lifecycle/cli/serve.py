"""``lifecycle serve``: a registered version behind an HTTP endpoint."""

from __future__ import annotations

from pathlib import Path

import click

from lifecycle.cli.options import workspace_option
from lifecycle.cli.output import print_note
from lifecycle.core.errors import UsageError


@click.command()
@click.argument("model", metavar="MODEL")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for every network."
)
@click.option("--port", default=3000, show_default=True, help="Port to listen on; 0 for any free one.")
@click.option(
    "--threads", type=int, help="ONNX Runtime threads; by default the cores that the process may use."
)
@workspace_option
def serve(model: str, host: str, port: int, threads: int | None, workspace: Path | None) -> None:
    """Serve MODEL: models:/NAME@ALIAS, models:/NAME/VERSION, or the folder of a bundle.

    SIGTERM and Ctrl-C finish the requests at work and stop.
    """
    from lifecycle.serve.process import run_server
    from lifecycle.serve.settings import Settings

    bundle, name, version = _resolve(model, workspace)
    run_server(Settings(bundle=bundle, name=name, version=version, host=host, port=port, threads=threads))


def _resolve(model: str, workspace: Path | None) -> tuple[Path, str, str]:
    """Folder, name and version of what is to be served; verified."""
    from lifecycle.core.artifact import open_artifact

    if not model.startswith("models:/"):
        if not Path(model).is_dir():
            raise UsageError(f"'{model}' is neither models:/NAME@ALIAS, models:/NAME/VERSION nor a folder")
        bundle = open_artifact(Path(model), "bundle")
        return bundle.path, Path(model).resolve().parent.name, bundle.digest[:12]
    from lifecycle.registry import fetch, find_version
    from lifecycle.tracking import find_registry

    client, served = find_registry(workspace)
    version = find_version(client, model)
    print_note(f"{model} is version {version.number}, digest {version.digest[:12]}")
    bundle, _ = fetch(client, version, served)
    return bundle.path, version.name, str(version.number)
