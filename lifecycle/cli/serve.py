"""``lifecycle serve``: a registered version behind an HTTP endpoint."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Any

import click

from lifecycle.cli.options import workspace_option
from lifecycle.cli.output import print_note, print_warning
from lifecycle.cli.verb import Verb
from lifecycle.verbs.models import find_model


@click.command(
    cls=Verb,
    examples="""
    lifecycle serve models:/digits@champion
        Follows the champion, on this machine alone.
    lifecycle serve models:/digits@champion --host 0.0.0.0 --api-keys keys.txt
        For a network, and who has a key.
    lifecycle serve models:/digits/3 models:/tumours@champion --workers 2
        Two models, one of them at a fixed version.
    """,
)
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
@click.option(
    "--follow/--no-follow",
    default=True,
    show_default=True,
    help="Serve another version as soon as an ALIAS moves to it, if it is found good; or stay.",
)
@click.option("--poll-s", default=5.0, show_default=True, help="Seconds between two looks at an ALIAS.")
@click.option(
    "--api-keys",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Answer only who sends one of these keys, a line each; also from LIFECYCLE_API_KEYS.",
)
@click.option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="Host name that requests may call; by default those of this machine, or any beyond loopback.",
)
@click.option(
    "--cors-origin",
    "cors_origins",
    multiple=True,
    metavar="ORIGIN",
    help="Origin whose pages may ask from a browser; none by default.",
)
@click.option(
    "--drain-s",
    default=1.0,
    show_default=True,
    help="Seconds after SIGTERM in which requests are taken while readiness says no.",
)
@click.option(
    "--access-log/--no-access-log", default=False, show_default=True, help="A line of JSON for each request."
)
@click.option("--tracing/--no-tracing", default=False, show_default=True, help="Spans for OpenTelemetry.")
@workspace_option
def serve(models: tuple[str, ...], workspace: Path | None, follow: bool, **options: Any) -> None:
    """Serve each MODEL: models:/NAME@ALIAS, models:/NAME/VERSION, or the folder of a bundle.

    SIGTERM and Ctrl-C finish the requests at work and stop.
    """
    from lifecycle.serve.access.keys import read_keys
    from lifecycle.serve.process import run_server
    from lifecycle.serve.settings import Settings

    served = tuple(find_model(model, workspace, follow=follow, tell=print_note) for model in models)
    settings = Settings(models=served, workspace=workspace, **options)
    if read_keys(settings.api_keys) is None and not ip_address(settings.host).is_loopback:
        print_warning(f"whoever reaches {settings.host} may ask, as there are no API keys; see --api-keys")
    run_server(settings)
