"""The project's Markdown as data: pages, headings, fenced blocks, links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("", "docs", "docs/adr", "docs/reference", "examples", "examples/*", "benchmarks", ".github")


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block.

    Attributes:
        page: Path of its page below the root.
        line: Of its first fence, from 1.
        language: First word behind the fence.
        words: Those behind it: the file that the block writes or edits, or ``server``.
        mark: The HTML comment on the line before, or the one before that; empty where there is none.
        text: Between the fences, with the fence's own indentation taken off.
    """

    page: str
    line: int
    language: str
    words: tuple[str, ...]
    mark: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Every Markdown file that people read."""
    return sorted({path for folder in FOLDERS for path in ROOT.glob(f"{folder}/*.md".lstrip("/"))})


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def blocks(path: Path) -> tuple[Block, ...]:
    """The fenced blocks of a page, in order."""
    return tuple(_blocks(name(path), path.read_text().splitlines()))


def _blocks(page: str, lines: list[str]) -> Iterator[Block]:
    inside: tuple[int, str, list[str]] | None = None
    for number, line in enumerate(lines, 1):
        fence = re.match(r"^(\s*)```\s*(.*)$", line)
        if fence is None:
            continue
        if inside is None:
            inside = number, fence[1], fence[2].split()
            continue
        first, indent, info = inside
        inside = None
        body = [each.removeprefix(indent) for each in lines[first : number - 1]]
        above = [each for each in lines[max(first - 3, 0) : first - 1] if each.strip()]
        mark = re.fullmatch(r"<!--\s*(.*?)\s*-->", above[-1].strip()) if above else None
        yield Block(
            page=page,
            line=first,
            language=info[0] if info else "",
            words=tuple(info[1:]),
            mark=mark[1] if mark else "",
            text="\n".join(body) + "\n",
        )


def prose(path: Path) -> str:
    """A page without its fenced blocks and comments, line for line."""
    inside, kept = False, []
    for line in path.read_text().splitlines():
        fence = bool(re.match(r"^\s*```", line))
        kept.append("" if inside or fence else line)
        inside ^= fence
    return re.sub(r"<!--.*?-->", lambda found: "\n" * found[0].count("\n"), "\n".join(kept), flags=re.DOTALL)


@cache
def anchors(path: Path) -> frozenset[str]:
    """What a link may name behind ``#``: headings as GitHub writes them, and ids."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", prose(path), re.MULTILINE):
        slug = slug_of(heading)
        count = sum(1 for each in found if re.fullmatch(rf"{re.escape(slug)}(-\d+)?", each))
        found.add(f"{slug}-{count}" if count else slug)
    return frozenset(found | set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", path.read_text())))


def slug_of(heading: str) -> str:
    """A heading's anchor on GitHub."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "")
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


def links(path: Path) -> list[str]:
    """Targets of links and images that lie in this repository."""
    text = re.sub(r"`[^`\n]*`", "", prose(path))
    found = re.findall(r"\]\((?!\w+:)<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)", text)
    return found + re.findall(r"(?:src|srcset|href)=\"(?!\w+:)([^\"]+)\"", text)
