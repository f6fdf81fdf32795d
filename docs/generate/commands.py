"""The page of the command line, from click."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from docs.generate.markdown import table
from lifecycle.cli import main

TITLE = "Command line"
HEAD = """`lifecycle VERB --help` says the same. Data goes to standard output, progress and messages to standard error.
"""

ENVIRONMENT = {
    "LIFECYCLE_WORKSPACE": "where results are kept, as `--workspace`",
    "LIFECYCLE_TRAIN__TRAINER__MAX_EPOCHS": "a value of the pipeline file: any key, in capitals, two underscores between its parts",
    "LIFECYCLE_API_KEYS": "keys that `lifecycle serve` accepts, commas between them, as `--api-keys`",
    "LIFECYCLE_API_KEY": "the key that `lifecycle predict` sends",
    "MLFLOW_TRACKING_URI": "the tracking server; without it, `mlflow.db` of the workspace",
    "MLFLOW_REGISTRY_URI": "the registry, where it is another one",
    "MLFLOW_TRACKING_USERNAME": "who asks, with `MLFLOW_TRACKING_PASSWORD`",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "seconds that a request to MLflow may take, with `MLFLOW_HTTP_REQUEST_MAX_RETRIES`",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "where `lifecycle serve --tracing` sends spans, with OpenTelemetry's other variables",
}
# Between processes of one server, or of one job: not for people.
INTERNAL = {
    "LIFECYCLE_SERVE",
    "LIFECYCLE_SERVE_HOME",
    "LIFECYCLE_SERVE_SUPERVISOR",
    "LIFECYCLE_AGENT",
    "LIFECYCLE_JOB_STARTED",
}


def page() -> str:
    """Every verb with its options, and the exit codes."""
    parts = [HEAD, "## Exit codes\n\n" + _exit_codes(), _environment(), "## Verbs\n\n" + _verbs()]
    context = click.Context(main.cli, info_name="lifecycle")
    for name in main.VERBS:
        command = main.cli.get_command(context, name)
        assert command is not None
        parts += list(_command(command, click.Context(command, parent=context, info_name=name)))
    return "\n".join(parts)


def _exit_codes() -> str:
    return table(("code", "meaning"), re.findall(r"^(\d+)\s{2,}(\S.*)$", main.__doc__ or "", re.MULTILINE))


def _environment() -> str:
    return "## Environment\n\n" + table(
        ("variable", ""), [(f"`{name}`", text) for name, text in ENVIRONMENT.items()]
    )


def _verbs() -> str:
    return table(
        ("verb", ""), [(f"[`{name}`](#lifecycle-{name})", text) for name, text in main.VERBS.items()]
    )


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    if isinstance(command, click.Group):
        yield f"## {context.command_path}\n\n{_help(command)}\n"
        for name, below in command.commands.items():
            yield from _command(below, click.Context(below, parent=context, info_name=name))
        return
    path = context.command_path
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    yield f"## {path}\n\n```text\n{usage}\n```\n\n{_help(command)}\n"
    examples = str(getattr(command, "examples", ""))
    if examples:
        yield f"```\n{examples}\n```\n"
    rows = list(_options(command, context))
    if rows:
        yield table(("option", "", "default"), rows)


def _help(command: click.Command) -> str:
    """The help text; paragraphs that click is told to leave as they are stay as they are."""
    found = []
    for part in re.split(r"\n\s*\n", (command.help or "").strip()):
        kept = part.startswith("\b")
        found.append(
            f"```text\n{part.removeprefix(chr(8)).strip(chr(10))}\n```" if kept else " ".join(part.split())
        )
    return "\n\n".join(found)


def _options(command: click.Command, context: click.Context) -> Iterator[tuple[str, str, str]]:
    for option in command.params:
        if not isinstance(option, click.Option) or option.hidden:
            continue
        names = "/".join([*option.opts, *option.secondary_opts])
        kind = "" if option.is_flag else " " + option.make_metavar(context)
        default = option.get_default(context)
        shown = "" if default is None or callable(default) or "Sentinel" in repr(default) else str(default)
        if option.is_flag and not option.secondary_opts:
            shown = ""
        variable = f" Environment: `{option.envvar}`." if isinstance(option.envvar, str) else ""
        yield f"`{names}{kind}`", (option.help or "") + variable, f"`{shown}`" if shown else ""
