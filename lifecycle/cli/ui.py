"""``lifecycle ui``: MLflow's pages of a workspace."""

from __future__ import annotations

from pathlib import Path

import click

from lifecycle.cli.options import workspace_option
from lifecycle.cli.output import print_note, print_text
from lifecycle.cli.verb import Verb


@click.command(
    cls=Verb,
    examples="""
    lifecycle ui
        MLflow's pages, on a free port of this machine.
    lifecycle ui --port 5000 --workspace digits/.lifecycle
        Of another workspace, on a port of one's own.
    """,
)
@click.option("--port", default=0, show_default=True, help="Port to listen on; 0 for any free one.")
@workspace_option
def ui(port: int, workspace: Path | None) -> None:
    """Open MLflow on the workspace: runs, curves, registered versions. Ctrl-C ends it.

    It listens on this machine alone.
    """
    import os

    from lifecycle import verbs

    away = os.environ.get("MLFLOW_TRACKING_URI", "").startswith(("http://", "https://"))

    def ready(url: str) -> None:
        print_text(url)
        print_note("MLFLOW_TRACKING_URI names a server: its pages are there." if away else "Ctrl-C ends it.")

    verbs.ui(workspace, port=port, ready=ready)
