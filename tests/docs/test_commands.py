"""Commands in the documentation exist: verbs, options, choices, keys of the pipeline file, make targets."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from lifecycle.cli.main import VERBS, cli
from tests.docs.pages import ROOT, blocks, name, pages, prose
from tests.docs.schema import pipeline_schema

SHELLS = {"", "sh", "bash", "console"}
WRONG = "wrong on purpose"
PLACEHOLDERS = re.compile(r"…|\.\.\.")


def commands(page: Path) -> Iterator[tuple[str, str]]:
    """Where a command of ours stands, and the words behind ``lifecycle``."""
    for block in blocks(page):
        if block.language in SHELLS and block.mark != WRONG:
            for offset, line in enumerate(block.text.splitlines(), 1):
                yield from ((f"{block.page}:{block.line + offset}", each) for each in typed(line))
    for number, line in enumerate(prose(page).splitlines(), 1):
        for span in re.findall(r"`([^`\n]+)`", line):
            yield from ((f"{name(page)}:{number}", each) for each in typed(span))


def typed(line: str) -> Iterator[str]:
    """What stands behind ``lifecycle`` in a line of a shell, which may have several commands."""
    lexer = shlex.shlex(re.sub(r"\s#.*$", "", line.strip()), posix=True, punctuation_chars=";<>|&$")
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:  # prose with an apostrophe
        return
    while words:
        end = next((place for place, word in enumerate(words) if set(word) <= set(";<>|&")), len(words))
        part, words = words[:end], words[end + 1 :]
        while part and (part[0] == "$" or re.match(r"[A-Z_]+=", part[0])):
            part = part[1:]
        if part[1:] and re.fullmatch(r"(?:\S*/)?lifecycle", part[0]) and re.match(r"-|[a-z]+$", part[1]):
            yield shlex.join(word for word in part[1:] if word != "\\")


def wrong_with(words: str) -> str | None:
    """What click or the schema says to a command; None where it is right."""
    arguments = shlex.split(words)
    if arguments[0].startswith("-"):
        command: click.Command = cli
    elif arguments[0] in VERBS:
        command, arguments = cli.get_command(click.Context(cli), arguments[0]), arguments[1:]  # type: ignore[assignment]
    else:
        return f"no verb '{arguments[0]}'"
    if isinstance(command, click.Group) and command is not cli:
        if not arguments or arguments[0] not in command.commands:
            return None if not arguments else f"no command '{arguments[0]}'"
        command, arguments = command.commands[arguments[0]], arguments[1:]
    arguments = [each for each in arguments if not PLACEHOLDERS.fullmatch(each)]
    context = click.Context(command)
    try:
        given, rest, _ = command.make_parser(context).parse_args(list(arguments))
    except click.UsageError as error:
        said = error.format_message()
        return None if said.endswith("requires an argument.") else said  # prose names options without values
    if rest:
        return f"does not take {rest}"
    for parameter in command.params:
        value = given.get(str(parameter.name))
        choices = parameter.type.choices if isinstance(parameter.type, click.Choice) else None
        if choices is not None and isinstance(value, str) and value not in choices:
            return f"{value} is none of {choices}"
    for word in arguments:
        key, found, _ = word.partition("=")
        if found and re.fullmatch(r"[a-z_]+(\.[a-z_]+)*", key) and not known(key):
            return f"no key '{key}'"
    return None


def known(key: str) -> bool:
    """Whether a pipeline file may have a dotted key."""
    schema: Any = pipeline_schema()
    for part in key.split("."):
        below = schema.get("properties")
        if below is None:
            return True
        if part not in below:
            return isinstance(schema.get("additionalProperties"), dict)
        schema = below[part]
    return True


@pytest.mark.parametrize("page", pages(), ids=name)
def test_commands_exist(page: Path) -> None:
    if page.name == "CHANGELOG.md":
        pytest.skip("tells what was")
    wrong = [
        f"{place}: lifecycle {words}: {said}"
        for place, words in commands(page)
        if (said := wrong_with(words))
    ]
    assert wrong == []


@pytest.mark.parametrize("page", pages(), ids=name)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        target
        for block in blocks(page)
        if block.language in SHELLS
        for words in re.findall(r"^(?:\$ )?make((?: [a-z-]+)+)", block.text, re.MULTILINE)
        for target in words.split()
    }
    for words in re.findall(r"`make((?: [a-z-]+)+)`", prose(page)):
        named |= set(words.split())
    assert named - targets == set()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("run pipeline.yaml train.trainer.max_epochs=3", None),
        ("run pipeline.yaml train.trainer.max_epoch=3", "no key 'train.trainer.max_epoch'"),
        ("run pipeline.yaml --waiting", "No such option"),
        ("walk pipeline.yaml", "no verb 'walk'"),
        ("init pets --template tables", "'image', 'tabular'"),
        ("config shew", "no command 'shew'"),
        ("promote digits --reason 'smaller; as good'", None),
    ],
)
def test_what_does_not_exist_is_noticed(words: str, said: str | None) -> None:
    found = wrong_with(words)
    assert (found is None) if said is None else (found is not None and said.lower() in found.lower())


def test_commands_are_found_among_others() -> None:
    line = "$ A=1 .venv/bin/lifecycle plan x.yaml && lifecycle promote x --reason 'a; b' | lifecycle status > y  # z"
    assert list(typed(line)) == ["plan x.yaml", "promote x --reason 'a; b'", "status"]
    assert list(typed("lifecycle's own code changed")) == []
