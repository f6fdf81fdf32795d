"""Installs the distribution that docs/extending.md shows, as its blocks say."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lifecycle.core import plugins
from tests.docs.pages import ROOT, Block, blocks

PAGE = ROOT / "docs" / "extending.md"


def files() -> list[Block]:
    """The modules of the package ``own``, in the order of the page."""
    return [block for block in blocks(PAGE) if block.language == "python" and block.words]


def entry_points(*more: str) -> str:
    """What the page's ``pyproject.toml`` says, as an installer writes it down; `more` lines follow the last group."""
    points = "".join(
        block.text for block in blocks(PAGE) if block.language == "toml" and '"own.' in block.text
    )
    points = re.sub(r'\[project\.entry-points\."([\w.]+)"\]', r"[\1]", points).replace('"', "")
    return points + "".join(f"{line}\n" for line in more)


@contextmanager
def installed(folder: Path, points: str | None = None) -> Iterator[Path]:
    """While it lasts, ``own`` is importable, and its entry points are found.

    Args:
        folder: Where it is written.
        points: Its entry points, where they are to be other ones.
    """
    for block in files():
        path = folder / block.words[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)
        (path.parent / "__init__.py").touch()
    info = folder / "own-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points() if points is None else points)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        importlib.invalidate_caches()
        plugins.table.cache_clear()
        yield info / "entry_points.txt"
    plugins.table.cache_clear()
