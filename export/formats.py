"""The table of formats: how a file is called, written and opened.

Built-in ones stand in ``lifecycle.core.plugins``; other distributions add theirs as entry points of
the group ``lifecycle.formats``, each an instance of `Format`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.core.errors import UsageError
from lifecycle.core.plugins import load
from lifecycle.core.signature import Array, Signature

if TYPE_CHECKING:
    from lifecycle.export.network import Network

Runner = Callable[[Mapping[str, Array]], Sequence[Array]]
"""Outputs in the order of the signature, from arrays that were checked against it."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """One kind of file.

    Attributes:
        name: As users write it in ``export.formats``.
        filename: What the file is called in a bundle.
        write: Convert a network in eval mode and write it to a path; the same bytes for the same network.
        open: Make a runner of a file, with the signature and the number of threads a call may use.
        open_as_written: The same, computing operator by operator what the file says; None where `open` does.
    """

    name: str
    filename: str
    write: Callable[[Network, Path], None]
    open: Callable[[Path, Signature, int], Runner]
    open_as_written: Callable[[Path, Signature, int], Runner] | None = None


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
