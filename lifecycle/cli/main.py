"""The ``lifecycle`` command: finds the verb, and turns every error into a message and an exit code.

====  =========================================
code  meaning
====  =========================================
0     done
1     failed
2     wrong usage or configuration
3     a gate, a proof or a budget refused
4     lost a promotion race
130   interrupted
143   terminated
====  =========================================
"""

from __future__ import annotations

import errno
import signal
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import cast

import click
from click.shell_completion import CompletionItem

from lifecycle.cli.output import print_error, print_note
from lifecycle.core import collector, interrupt
from lifecycle.core.errors import LifecycleError, suggest
from lifecycle.core.progress import hush
from lifecycle.core.reference import place_in_project

VERBS = {
    "init": "A new project that runs as it is.",
    "run": "Train, compress, export, evaluate and register, as a pipeline file says.",
    "plan": "Show what a run would do, why, and how long it may take.",
    "train": "Train, as a pipeline file says.",
    "prune": "Train and prune, as a pipeline file says.",
    "quantize": "Train, prune and quantize, as a pipeline file says.",
    "compress": "Train, prune and quantize; or search over ways to.",
    "sensitivity": "Show which layers hurt when they alone are pruned or quantized.",
    "export": "Write files proven equal to the module, or show what a file says of itself.",
    "evaluate": "Score the exported file on the test split, and time it.",
    "benchmark": "Compare bundles, formats and thread counts on this machine.",
    "promote": "Make a registered version the champion, if its gates hold.",
    "rollback": "Make the champion before the present one champion again.",
    "history": "Who was champion, since when, and why.",
    "diff": "What two versions differ in: options, code, data, metrics, size, latency.",
    "status": "Registered models: versions, aliases, the last promotion.",
    "config": "Every option with where it was set; the schema for editors.",
    "report": "Where the page of the last run is.",
    "doctor": "What is wrong with this installation and workspace, and what to mend.",
    "ui": "MLflow's pages of a workspace.",
    "gc": "Remove what nothing refers to; what a version needs stays.",
    "serve": "Answer inference requests over HTTP with a registered version.",
    "predict": "Send rows, an array or images to a running endpoint.",
    "package": "Write a Bento and a Containerfile that serve a model.",
    "completion": "The script that makes a shell complete all this.",
}


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Verbs(click.Group):
    """Knows every verb's name and purpose, and imports a verb only to run it or to show its help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, in the order of a model's life."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one verb."""
        if cmd_name not in VERBS:
            return None
        return cast("click.Command", getattr(import_module(f"lifecycle.cli.{cmd_name}"), cmd_name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest the closest verb for an unknown one."""
        if args[0] not in VERBS and not args[0].startswith("-"):
            raise click.UsageError(f"no verb '{args[0]}': {suggest(args[0], VERBS)}", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The verbs that begin so, without importing them; options where a dash was typed."""
        found = [CompletionItem(verb, help=VERBS[verb]) for verb in VERBS if verb.startswith(incomplete)]
        return found or click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.command(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="model-lifecycle", prog_name="lifecycle")
@click.option("-v", "--verbose", is_flag=True, help="Show the traceback of an error.")
def cli(verbose: bool) -> None:
    """From a PyTorch module to a small, fast, audited HTTP endpoint.

    Begin with: lifecycle run examples/digits/pipeline.yaml
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    collector.own_process()
    interrupt.listen()
    hush(False)
    words = list(sys.argv[1:] if arguments is None else arguments)
    code = _run(words, verbose=any(word in ("-v", "--verbose") for word in words))
    asked = interrupt.received() or (signal.SIGINT if code == 128 + signal.SIGINT else None)
    if asked is not None:
        manner = "terminated" if asked == signal.SIGTERM else "interrupted"
        print_error(f"{manner}; the same command goes on from here")
        code = 128 + asked
    sys.exit(code)


def _run(words: Sequence[str], *, verbose: bool) -> int:
    """The exit code of a command; says what went wrong, unless somebody asked to stop."""
    try:
        code = cli.main(args=list(words), prog_name="lifecycle", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        error.show()
        if isinstance(error, click.NoSuchOption) and _takes_values(error.ctx):
            print_note("A value of the pipeline file is set without dashes, as in train.trainer.max_epochs=3")
        return error.exit_code
    except (click.Abort, KeyboardInterrupt, interrupt.Terminated):
        return 128 + signal.SIGINT
    except Exception as error:
        if interrupt.received() is None:
            _show(error, verbose=verbose)
        return error.exit_code if isinstance(error, LifecycleError) else 1


def _takes_values(context: click.Context | None) -> bool:
    return context is not None and any(each.name == "overrides" for each in context.command.params)


def _show(error: Exception, *, verbose: bool) -> None:
    if verbose:
        print_note("".join(traceback.format_exception(error)).rstrip())
    if isinstance(error, LifecycleError):
        print_error(str(error))
    elif isinstance(error, OSError) and error.errno in _NO_ROOM:
        print_error(f"{error}\nMake room: the same command goes on from here.")
    else:
        hint = "" if verbose else "\nRun it again with `lifecycle -v …` for the traceback."
        place = place_in_project(error)
        where = f"\nIt was raised at {place}." if place else ""
        print_error(f"{type(error).__name__}: {error}{where}{hint}")
