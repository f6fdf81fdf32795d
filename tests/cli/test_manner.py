"""Examples in every help, silence on demand, colour only where it is wanted."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from lifecycle.cli.main import VERBS, cli
from lifecycle.cli.verb import Verb
from tests.cli.commands import CommandLine

COMMAND = Path(sys.executable).with_name("lifecycle")
ESCAPE = "\x1b["


def verbs() -> dict[str, click.Command]:
    """Every verb, and those of groups, by what is typed."""
    context = click.Context(cli)
    found: dict[str, click.Command] = {}
    for name in VERBS:
        command = cli.get_command(context, name)  # type: ignore[attr-defined]
        if isinstance(command, click.Group):
            found |= {f"{name} {each}": inner for each, inner in command.commands.items()}
        else:
            found[name] = command
    return found


@pytest.mark.parametrize("name", verbs())
def test_every_verb_shows_examples_that_can_be_typed(lifecycle: CommandLine, name: str) -> None:
    verb = verbs()[name]
    assert isinstance(verb, Verb)
    shown = lifecycle(*name.split(), "--help").out
    examples = shown[shown.index("\nExamples:\n") :].splitlines()[2:]
    lines = [line.strip() for line in examples if not line.startswith("    ")]
    assert len(lines) == len(examples) / 2, "each line has its purpose below it"
    for line in lines:
        words = shlex.split(line.replace('eval "$(', "").replace(')"', "").partition(" > ")[0])
        begin = ["lifecycle", *name.split()]
        assert words[: len(begin)] == begin
        verb.make_context(name, words[len(begin) :])  # which refuses an option or a value that there is not


def test_a_quiet_verb_says_its_result_alone(lifecycle: CommandLine) -> None:
    loud, quiet = lifecycle("init", "one"), lifecycle("init", "two", "--quiet")
    assert loud.err.startswith("Next: ")
    assert (quiet.code, quiet.err) == (0, "")
    assert quiet.out == loud.out.replace("one/", "two/")
    again = lifecycle("init", "three")
    assert again.err.startswith("Next: "), "quiet holds for one command"


def test_a_quiet_verb_still_says_what_went_wrong(lifecycle: CommandLine) -> None:
    ended = lifecycle("plan", "missing.yaml", "-q")
    assert ended.code == 2
    assert ended.err.startswith("error: ")


@pytest.mark.usefixtures("lifecycle")
@pytest.mark.parametrize(
    ("terminal", "variables", "coloured"),
    [
        (True, {}, True),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"CLICOLOR": "0"}, False),
        (True, {"TERM": "dumb"}, False),
        (False, {}, False),
        (False, {"FORCE_COLOR": "1"}, True),
        (False, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colour_is_for_terminals_that_want_it(
    terminal: bool, variables: dict[str, str], coloured: bool
) -> None:
    plain = {name: value for name, value in os.environ.items() if not name.endswith(("COLOR", "COLOUR"))}
    environment = plain | {"TERM": "xterm-256color"} | variables
    words = [COMMAND, "plan", "missing.yaml"]
    if not terminal:
        shown = subprocess.run(words, env=environment, capture_output=True, text=True, check=False).stderr
    else:
        screen, end = os.openpty()
        subprocess.run(words, env=environment, stdout=end, stderr=end, check=False)
        os.close(end)
        shown = os.read(screen, 65_536).decode()
        os.close(screen)
    assert "missing.yaml" in shown
    assert (ESCAPE in shown) is coloured


def test_a_table_has_no_colour_in_a_pipe(lifecycle: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ESCAPE not in lifecycle("export", "--formats").out
    monkeypatch.setenv("FORCE_COLOR", "1")
    forced = lifecycle("export", "--formats").out
    assert ESCAPE in forced
    monkeypatch.setenv("NO_COLOR", "1")
    assert ESCAPE not in lifecycle("export", "--formats").out
