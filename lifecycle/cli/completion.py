"""``lifecycle completion``: the script that lets a shell complete verbs, options, files and models."""

from __future__ import annotations

import click

from lifecycle.cli.output import print_text
from lifecycle.cli.verb import Verb
from lifecycle.core.errors import LifecycleError

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_LIFECYCLE_COMPLETE"  # through which the shell asks


@click.command(
    cls=Verb,
    examples="""
    eval "$(lifecycle completion bash)"
        In ~/.bashrc; with zsh in ~/.zshrc.
    lifecycle completion fish > ~/.config/fish/completions/lifecycle.fish
        With fish, once.
    """,
)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script that makes SHELL complete what is typed after `lifecycle`.

    Verbs, options and their choices, pipeline files, and the models that this workspace has registered.
    """
    from click.shell_completion import ShellComplete, get_completion_class

    from lifecycle.cli.main import cli

    found = get_completion_class(shell)
    if found is None:
        raise LifecycleError(f"no completion for {shell} in this release of click")
    # Not the class's own `source`, which starts bash to ask for its version.
    print_text(ShellComplete.source(found(cli, {}, "lifecycle", VARIABLE)))
