"""The public surface as it is: names, options, verbs and flags, tables, tags, exit codes.

``python -m tests.surface.surface`` writes it to surface.json.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import cast

import click

ROOT = Path(__file__).parents[2]
FILE = Path(__file__).with_name("surface.json")
UPDATE = "python -m tests.surface.surface"
FOLDERS = ("lifecycle", "train", "compress", "export", "serve")
# What the trainer, the pipeline and the endpoint take; whose fields are typed by users.
OPTIONS = (
    "lifecycle.core.budget:Budget",
    "lifecycle.core.signature:Signature",
    "lifecycle.core.signature:TensorSpec",
)
Surface = dict[str, list[str]]


def surface() -> Surface:
    """By section, sorted lines."""
    found: Surface = {
        "python": sorted(set(_exports())),
        "options": sorted(_options()),
        "verbs": sorted(_flags()),
        "tables": sorted(_tables()),
        "tags": sorted(_tags()),
        "exit codes": _exit_codes(),
        "scripts": sorted(_project()["scripts"]),
        "extras": sorted(_project()["optional-dependencies"]),
    }
    return found


def _exports() -> Iterator[str]:
    """Every name in an ``__all__``, with the parameters of what is called."""
    for path in sorted((ROOT / "lifecycle").rglob("*.py")) + _linked():
        module = ast.parse(path.read_text())
        named = [node for node in module.body if isinstance(node, ast.Assign) and _is_all(node.targets)]
        if not named:
            continue
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        name = name if name.startswith("lifecycle") else f"lifecycle.{name}"
        home = import_module(name)
        for each in home.__all__:
            yield f"{name}.{each}{_parameters(getattr(home, each))}"


def _parameters(thing: object) -> str:
    """What one of our own is called with."""
    if not callable(thing) or not str(getattr(thing, "__module__", "")).startswith("lifecycle."):
        return ""
    try:
        return f"({', '.join(inspect.signature(thing).parameters)})"
    except ValueError:
        return ""


def _linked() -> list[Path]:
    return [path for folder in FOLDERS[1:] for path in sorted((ROOT / folder).rglob("*.py"))]


def _is_all(targets: list[ast.expr]) -> bool:
    return any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets)


def _options() -> Iterator[str]:
    """Keys that a pipeline file or a call takes."""
    from lifecycle import Trainer
    from lifecycle.core.plugins import TABLES
    from lifecycle.serve.settings import Settings

    for stage, place in TABLES["stages"].items():
        yield from _fields(stage, _loaded(place))
    for place in OPTIONS:
        yield from _fields(place.partition(":")[2], _loaded(place))
    yield from _fields("serve", Settings)
    yield from (f"Trainer.{name}" for name in inspect.signature(Trainer).parameters)


def _fields(prefix: str, kind: object) -> list[str]:
    return [f"{prefix}.{field.name}" for field in dataclasses.fields(cast("type", kind))]


def _loaded(place: str) -> object:
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)


def _flags() -> Iterator[str]:
    """Verbs, what follows them, and their flags."""
    from lifecycle.cli.main import cli

    yield from _of_command("lifecycle", cli)


def _of_command(name: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command)
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            yield f"{name} {parameter.make_metavar(context)}"
        else:
            yield f"{name} {' '.join([*parameter.opts, *parameter.secondary_opts])}"
    if isinstance(command, click.Group):
        for verb in command.list_commands(context):
            found = command.get_command(context, verb)
            assert found is not None
            yield from _of_command(f"{name} {verb}", found)


def _tables() -> Iterator[str]:
    """Groups of entry points, and what is in each as we ship it."""
    from lifecycle.core.plugins import TABLES

    for family, names in TABLES.items():
        yield from (f"lifecycle.{family} {name}" for name in names)


def _tags() -> set[str]:
    """Of MLflow's runs and versions: whatever is written as ``"lifecycle.…"`` where those are written."""
    found: set[str] = set()
    for folder in ("tracking", "pipeline", "stages"):
        for path in (ROOT / "lifecycle" / folder).rglob("*.py"):
            found |= set(re.findall(r'"(lifecycle\.[a-z_]+)"', path.read_text()))
    for name in ("registry", "ledger", "search", "transfer", "history"):
        text = (ROOT / "lifecycle" / f"{name}.py").read_text()
        found |= set(re.findall(r'"(lifecycle\.[a-z_]+)"', text))
    return found


def _exit_codes() -> list[str]:
    from lifecycle.cli import main
    from lifecycle.core import errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "exit_code")]
    told = re.findall(r"^(\d+) +(\S.*)$", main.__doc__ or "", re.MULTILINE)
    return sorted([f"{kind.__name__} {kind.exit_code}" for kind in kinds]) + [
        f"{c} {text}" for c, text in told
    ]


def _project() -> dict[str, dict[str, object]]:
    return cast(
        "dict[str, dict[str, object]]", tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    )


def kept() -> Surface:
    """What is written down."""
    return cast("Surface", json.loads(FILE.read_text()))


if __name__ == "__main__":
    FILE.write_text(json.dumps(surface(), indent=1, ensure_ascii=False) + "\n")
    print(f"written: {FILE.relative_to(ROOT)}; say what changed in CHANGELOG.md")
