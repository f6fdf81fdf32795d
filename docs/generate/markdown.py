"""Docstrings, tables and types as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from inspect import cleandoc

SECTIONS = {
    "Args": "Arguments",
    "Attributes": "Attributes",
    "Returns": "Returns",
    "Yields": "Yields",
    "Raises": "Raises",
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; bars within cells are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(_cell(text) for text in line) + " |\n" for line in lines)


def _cell(text: str) -> str:
    return re.sub(r"\s*\n\s*", " ", text).replace("|", "\\|").strip()


def inline(text: str) -> str:
    """Double backticks of docstrings as single ones."""
    return re.sub(r"``(.+?)``", r"`\1`", text)


def first_line(doc: str | None) -> str:
    """What a docstring says first."""
    return inline(cleandoc(doc or "").partition("\n\n")[0].replace("\n", " "))


def docstring(doc: str | None) -> str:
    """A whole docstring: paragraphs, sections as lists, examples and tables as code."""
    text = cleandoc(doc or "")
    parts = re.split(rf"^({'|'.join(SECTIONS)}):\n", text, flags=re.MULTILINE)
    found = [_paragraphs(parts[0])]
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        inside, rest = _indented(body)
        found.append(f"**{SECTIONS[name]}**\n\n{_entries(inside)}")
        found.append(_paragraphs(rest))
    return "\n\n".join(part for part in found if part.strip())


def _indented(body: str) -> tuple[str, str]:
    """What belongs to a section, and what follows it."""
    lines = body.split("\n")
    end = next((place for place, line in enumerate(lines) if line and not line.startswith(" ")), len(lines))
    return cleandoc("\n".join(lines[:end])), "\n".join(lines[end:])


def _entries(text: str) -> str:
    found = []
    for entry in re.split(r"\n(?=\S)", text):
        name, colon, said = entry.partition(": ")
        plain = inline(" ".join((said if colon else entry).split()))
        simple = colon and re.fullmatch(r"\*{0,2}[\w.]+(?:, \*{0,2}[\w.]+)*", name)
        found.append(f"- `{name}`: {plain}" if simple else f"- {inline(' '.join(entry.split()))}")
    return "\n".join(found)


def _paragraphs(text: str) -> str:
    found = []
    for part in re.split(r"\n\s*\n", text.strip("\n")):
        lines = part.split("\n")
        if part.startswith(">>>"):
            found.append(f"```pycon\n{part}\n```")
        elif re.match(r"=+( +=+)+", part) or all(line.startswith("    ") for line in lines):
            found.append("```text\n" + cleandoc(part) + "\n```")
        else:
            found.append(inline(part.removesuffix("::") if part.strip() != "::" else ""))
    return "\n\n".join(part for part in found if part)
