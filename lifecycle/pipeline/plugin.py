"""Loading a stage by its name, built in or brought by another distribution, and seeing that it is one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, cast

from lifecycle.core import plugins
from lifecycle.core.errors import UsageError
from lifecycle.core.stage import Stage


def load_stage(name: str) -> type[Stage]:
    """Import the class of a stage.

    Raises:
        UsageError: there is none of that name, it cannot be imported, or it is no stage; says what it lacks.
    """
    found = plugins.load("stages", name)
    if problems := list(problems_of(found)):
        raise UsageError(
            f"stage '{name}' ({plugins.table('stages')[name]}) is no stage: {'; '.join(problems)}",
            hint="docs/extending.md shows a whole one.",
        )
    return cast("type[Stage]", found)


def problems_of(found: object) -> Iterator[str]:
    """What an object lacks to be a stage, as `lifecycle.core.stage.Stage` says; nothing for one that is."""
    if not isinstance(found, type):
        yield f"it is {found!r}, and no class"
        return
    made = cast("Any", found)
    if not is_dataclass(found):
        yield "it is no dataclass: write @dataclass(frozen=True, kw_only=True) above it"
    else:
        if not made.__dataclass_params__.frozen:
            yield "its dataclass is not frozen"
        if any(not each.kw_only for each in fields(found)):
            yield "its options are not keyword-only"
    if not _words(getattr(made, "consumes", None)):
        yield 'it has no consumes: a tuple of kinds of artifacts, such as ("checkpoint",)'
    if not isinstance(getattr(made, "produces", None), str):
        yield 'it has no produces: a kind of artifact, such as "checkpoint"'
    if getattr(made, "run", None) in (None, Stage.run):
        yield "it has no method run(given, into, context)"
    if not callable(getattr(made, "holds", None)):
        yield "it has no method holds(artifact, context): inherit from lifecycle.core.stage.Stage"


def _words(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(word, str) for word in value)
