"""A card as data, and as Markdown."""

from __future__ import annotations

import re
from dataclasses import dataclass

# What Markdown reads as more than text; underscores inside words and brackets without a link are text.
_SPECIAL = re.compile(r"([\\`*<>|#~]|(?<!\w)_|_(?!\w)|\](?=[(\[:]))")


@dataclass(frozen=True, kw_only=True)
class Section:
    """One part of a card.

    Attributes:
        title: What it is about.
        texts: Sentences, each a paragraph of its own.
        columns: Headings of its table; empty for none.
        rows: Cells of its table.
    """

    title: str
    texts: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is known of a model.

    Attributes:
        title: Its name.
        summary: What it is, in a sentence.
        sections: In the order in which one asks.
    """

    title: str
    summary: str
    sections: tuple[Section, ...]

    def to_markdown(self, limit: int | None = None) -> str:
        """The card as GitHub-flavoured Markdown; what the project or its data say is shown as it is written.

        Args:
            limit: Of characters; whole sections are left out at the end, and the last line says so.
        """
        parts = [f"# {_plain(self.title)}\n\n{_plain(self.summary)}\n"]
        for section in self.sections:
            parts.append(_section(section))
        if limit is None or len("\n".join(parts)) <= limit:
            return "\n".join(parts)
        note = "\nShortened; `card.md` among the files of the run is whole.\n"
        while len("\n".join(parts)) + len(note) > limit and len(parts) > 1:
            del parts[-1]
        return "\n".join(parts)[: limit - len(note)] + note


def _section(section: Section) -> str:
    lines = [f"## {_plain(section.title)}\n"]
    lines += [f"{_plain(text)}\n" for text in section.texts]
    if section.rows:
        lines.append("| " + " | ".join(map(_plain, section.columns)) + " |")
        lines.append("|" + "---|" * len(section.columns))
        lines += ["| " + " | ".join(map(_plain, row)) + " |" for row in section.rows]
        lines.append("")
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
