"""Arguments that a shell completes: pipeline files, and names of registered models."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from lifecycle.workspace import FOLDER

_SUFFIXES = (".yaml", ".yml")
_MOST = 1000  # files that are looked at for names: a key was pressed, and somebody waits


class PipelineFile(click.Path):
    """A path; what ends as a pipeline file does, and folders on the way to one, are offered."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Files and folders that begin so; whatever the shell finds where there are none."""
        folder, begun = os.path.split(incomplete)
        try:
            names = sorted(name for name in os.listdir(folder or ".") if name.startswith(begun))
        except OSError:
            names = []
        paths = [os.path.join(folder, name) for name in names if begun.startswith(".") or name[0] != "."]
        files = [path for path in paths if path.endswith(_SUFFIXES)]
        if files and not any(os.path.isdir(path) for path in paths):
            return [CompletionItem(path) for path in files]
        return [CompletionItem(incomplete, type="file")]


def complete_model(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names that runs in this workspace have registered; no registry is asked, which would take seconds."""
    given = ctx.params.get("workspace") or os.environ.get("LIFECYCLE_WORKSPACE") or FOLDER
    found = sorted({name for name in _names(Path(given)) if name.startswith(incomplete)})
    return [CompletionItem(name) for name in found]


def _names(workspace: Path) -> Iterator[str]:
    """Of the versions in its cache."""
    for _, path in zip(range(_MOST), workspace.glob("cache/*/*/version.json"), strict=False):
        try:
            yield str(json.loads(path.read_bytes())["name"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # half written, or another's
