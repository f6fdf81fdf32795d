"""The table of formats: how a file is called, written, opened and read for what it says of itself.

Built-in ones stand in ``lifecycle.core.plugins``; other distributions add theirs as entry points of
the group ``lifecycle.formats``, each an instance of `Format`. Config, command line, proof, benchmark and
``docs/export.md`` all go by this table; ``tests/contracts/test_formats.py`` holds for every row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.core.canonical import JSON
from lifecycle.core.errors import UsageError
from lifecycle.core.plugins import TABLES, load, table
from lifecycle.core.signature import Array, Signature
from lifecycle.export.settings import RunSettings, WriteSettings

if TYPE_CHECKING:
    from lifecycle.export.network import Network

DATA = ".data"
"""What the name of a file of weights adds to that of the file which they belong to."""
Runner = Callable[[Mapping[str, Array]], Sequence[Array]]
"""Outputs in the order of the signature, from arrays that were checked against it."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One way of conversion that was tried.

    Attributes:
        way: What was tried: ``non-strict``, ``traced``.
        reason: Why it was chosen, or why it did not do.
    """

    way: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Written:
    """How a file came to be: the ways that were tried, the last of which made it."""

    attempts: tuple[Attempt, ...]

    @property
    def way(self) -> str:
        """The one that made the file."""
        return self.attempts[-1].way

    def to_json(self) -> list[JSON]:
        """Plain data for ``parity.json``."""
        return [{"way": item.way, "reason": item.reason} for item in self.attempts]


@dataclass(frozen=True, kw_only=True)
class Format:
    """One kind of file.

    Attributes:
        name: As users write it in ``export.formats``.
        filename: What the file is called in a bundle.
        summary: What it is and what runs it, in one line.
        write: Convert a network in eval mode and write it to a path; the same bytes for the same network.
        open: Make a runner of a file, with the signature and the settings to run with.
        meaning: What a file says of itself, read without running anything in it; raises `ArtifactError`.
        trusted_only: Opening a file runs code in it: only a file whose digest a manifest of ours vouches for
            is opened.
        notice: What a user should know before choosing it; told once a run.
        open_as_written: The same, computing operator by operator what the file says; None where `open` does.
    """

    name: str
    filename: str
    summary: str
    write: Callable[[Network, Path, WriteSettings], Written]
    open: Callable[[Path, Signature, RunSettings], Runner]
    meaning: Callable[[Path], Mapping[str, JSON]]
    trusted_only: bool
    notice: str = ""
    open_as_written: Callable[[Path, Signature, RunSettings], Runner] | None = None

    def size_bytes(self, folder: Path) -> int:
        """Of its file in a bundle, and of the data that lies beside it."""
        files = (folder / self.filename, folder / f"{self.filename}{DATA}")
        return sum(file.stat().st_size for file in files if file.is_file())


def formats() -> list[Format]:
    """Every row of the table, built in ones first."""
    return [load_format(name) for name in sorted(table("formats"), key=_builtin_first)]


def format_of(path: Path) -> Format:
    """The format whose files end as this one does.

    Raises:
        UsageError: there is none.
    """
    for format in formats():
        if path.suffix == Path(format.filename).suffix:
            return format
    endings = ", ".join(Path(format.filename).suffix for format in formats())
    raise UsageError(f"{path}: no format has files that end in '{path.suffix}'; allowed: {endings}")


def load_format(name: str) -> Format:
    """One format of the table.

    Raises:
        UsageError: there is none of that name (the closest is suggested), or a plug-in's is no `Format`.
    """
    found = load("formats", name)
    if not isinstance(found, Format):
        raise UsageError(
            f"format '{name}' is a {type(found).__name__}, not a lifecycle.export.formats.Format"
        )
    return found


def _builtin_first(name: str) -> tuple[bool, str]:
    return name not in TABLES["formats"], name
