"""A Dockerfile, read as Docker reads it: stages of instructions, and the files that a build is given."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from pathlib import Path

KNOWN = (
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "RUN",
    "USER",
    "WORKDIR",
)  # whatever else stands in a file is refused: nothing is passed over


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One step: its word, its `--name=value` options and what follows them."""

    word: str
    options: Mapping[str, str]
    text: str
    line: int


@dataclass(kw_only=True)
class Stage:
    """What begins at a FROM."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)


def read_dockerfile(text: str) -> list[Stage]:
    """The stages in order; one without a name has its number, as in Docker."""
    stages: list[Stage] = []
    for line, statement in _statements(text):
        word, _, rest = statement.partition(" ")
        word, rest = word.upper(), rest.strip()
        if word == "FROM":
            base, *named = re.split(r"\s+AS\s+", rest, flags=re.IGNORECASE)
            stages.append(Stage(base=base, name=named[0] if named else str(len(stages))))
            continue
        if word not in KNOWN or not stages:
            raise ValueError(f"line {line}: {word} is not known here")
        options: dict[str, str] = {}
        while found := re.match(r"--([a-z-]+)=(\S+)\s+", rest):
            options[found[1]] = found[2]
            rest = rest[found.end() :]
        stages[-1].instructions.append(Instruction(word=word, options=options, text=rest, line=line))
    return stages


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Lines joined where they end in a backslash, without comments, each with the number of its first."""
    parts: list[str] = []
    first = 0
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("#") or not line.strip():
            continue
        first = first if parts else number
        parts.append(line.strip().removesuffix("\\").strip())
        if not line.rstrip().endswith("\\"):
            yield first, " ".join(parts)
            parts = []


def command_of(text: str) -> list[str]:
    """What is executed: the words of a JSON list, or a shell with the text.

    >>> command_of('["lifecycle", "--help"]')
    ['lifecycle', '--help']
    >>> command_of("echo $HOME")
    ['/bin/sh', '-c', 'echo $HOME']
    """
    if text.startswith("["):
        return [str(word) for word in json.loads(text)]
    return ["/bin/sh", "-c", text]


def filled(text: str, variables: Mapping[str, str]) -> str:
    """Text with $NAME and ${NAME} replaced.

    >>> filled("/opt/bin:$PATH", {"PATH": "/bin"})
    '/opt/bin:/bin'
    """
    return re.sub(r"\$\{?(\w+)\}?", lambda found: variables.get(found[1], ""), text)


def pairs_of(text: str) -> dict[str, str]:
    """The names and values of an ENV.

    >>> pairs_of('A=1 B="two words"')
    {'A': '1', 'B': 'two words'}
    """
    return dict(word.split("=", 1) for word in shlex.split(text))  # type: ignore[misc]


def context_files(root: Path) -> list[Path]:
    """What a build in this folder is given: all files and links but what .dockerignore leaves out."""
    ignore = root / ".dockerignore"
    rules = ignore.read_text().splitlines() if ignore.is_file() else []
    patterns = [rule.strip() for rule in rules if rule.strip() and not rule.startswith("#")]
    found = []
    for place, folders, files in os.walk(root):
        folder = Path(place)
        links = [name for name in folders if (folder / name).is_symlink()]
        folders[:] = [name for name in folders if name not in {*links, ".git", ".venv"}]
        found += [(folder / name).relative_to(root) for name in [*files, *links]]
    return sorted(path for path in found if not ignored(path.as_posix(), patterns))


def ignored(path: str, patterns: Sequence[str]) -> bool:
    """Whether .dockerignore leaves it out: the last pattern that fits the path or a folder above it decides.

    >>> ignored("lifecycle/cli/main.py", ["*", "!lifecycle", "**/__pycache__"])
    False
    >>> ignored("lifecycle/cli/__pycache__/main.pyc", ["*", "!lifecycle", "**/__pycache__"])
    True
    >>> ignored("docs/index.md", ["*", "!lifecycle"])
    True
    """
    parts = path.split("/")
    prefixes = ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
    out = False
    for pattern in patterns:
        name = pattern.removeprefix("!").strip("/")
        if any(_fits(name, prefix) for prefix in prefixes):
            out = not pattern.startswith("!")
    return out


def _fits(pattern: str, path: str) -> bool:
    wanted, given = pattern.split("/"), path.split("/")
    if wanted[0] == "**":
        return any(_fits("/".join(wanted[1:]), "/".join(given[index:])) for index in range(len(given)))
    if len(wanted) != len(given):
        return False
    return all(re.match(translate(one), name) for one, name in zip(wanted, given, strict=True))
