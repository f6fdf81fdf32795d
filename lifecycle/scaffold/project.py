"""A new project from a template: pipeline file, module, data, and what to do next."""

from __future__ import annotations

import re
from pathlib import Path

from lifecycle.core.canonical import write_whole
from lifecycle.core.errors import UsageError, suggest

TEMPLATES = ("image", "tabular")
_HERE = Path(__file__).parent / "templates"
_ENDING = ".template"


def make_project(folder: Path, template: str, name: str | None = None) -> list[Path]:
    """Write the files of a template into a folder, which is made if it is not there.

    Args:
        folder: Where; what stands there already is left alone.
        template: One of `TEMPLATES`.
        name: Of the experiment and the registered model; by default that of the folder.

    Returns:
        The files that were written.

    Raises:
        UsageError: a file of the template is there already, or the name or the folder will not do; nothing
            was written.
    """
    if template not in TEMPLATES:
        raise UsageError(f"no template '{template}': {suggest(template, TEMPLATES)}")
    name = name if name is not None else _name_of(folder)
    if not re.fullmatch(r"[A-Za-z0-9][\w-]*", name):
        raise UsageError(
            f"name is {name!r}; expected letters, digits, '-' and '_'", hint="Choose --name NAME."
        )
    # The dot of a hidden file is no part of the template's name: packages leave such files out.
    files = {
        folder / path.name.removesuffix(_ENDING).replace("dot-", "."): path
        for path in sorted((_HERE / template).glob(f"*{_ENDING}"))
    }
    _check(folder, list(files))
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for into, path in files.items():
        if not into.exists():  # but for those, `_check` has refused
            write_whole(into, path.read_text().replace("[[ name ]]", name).encode())
            written.append(into)
    return written


def _check(folder: Path, files: list[Path]) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; expected a folder, or nothing")
    there = [file.name for file in files if file.exists() and not file.name.startswith(".")]
    if there:
        raise UsageError(
            f"{folder} has {', '.join(there)} already; nothing was written",
            hint="Choose another folder, or move them away.",
        )


def _name_of(folder: Path) -> str:
    """The folder's name with what a name may not hold left out."""
    return re.sub(r"[^\w-]+", "-", folder.resolve().name).strip("-_") or "model"
