"""What an exporter's error comes down to: its first words, and the line of the user's code."""

from __future__ import annotations

import re
import site
import sys
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path

_QUOTED = re.compile(r'File "([^"]+)", line (\d+)')
_CONSTRAINT = re.compile(r"^\s*- (You marked (\w+) as dynamic.*)$", re.MULTILINE)
_OURS = f"{Path(__file__).parent.parent}/"


def blame(error: BaseException) -> str:
    """``: message (at model.py:12)``; the place only where the error goes through code that is the user's."""
    place = _place(error)
    return f": {first_line(error)}" + (f" (at {place})" if place else "")


def first_line(error: BaseException) -> str:
    """The first words of an exporter's error, which may run over pages; of a violated axis, which one."""
    text = str(error)
    if found := _CONSTRAINT.search(text):
        return found[1].partition(" If you're using")[0].strip()
    return next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)


def is_users(file: str) -> bool:
    """Whether a source file is neither a library's nor one of ours."""
    path = str(Path(file))
    return path.endswith(".py") and not path.startswith((*_libraries(), _OURS)) and "<" not in path


def _place(error: BaseException) -> str | None:
    """The innermost line of the user's code, by the traceback or by what the message quotes."""
    frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    quoted = ((file, int(line)) for file, line in _QUOTED.findall(str(error)))
    return _last(quoted) or _last((file, line) for file, line in frames if line is not None)


def _last(places: Iterable[tuple[str, int]]) -> str | None:
    users = [f"{file}:{line}" for file, line in places if is_users(file)]
    return users[-1] if users else None


def _libraries() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return (
        *(paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        *site.getsitepackages(),
        str(Path(sys.base_prefix) / "lib"),
    )
