"""The options of a pipeline, one by one, each with where it was set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, cast

from lifecycle.core.budget import Budget
from lifecycle.core.canonical import JSON
from lifecycle.core.config import Config, Key, lookup
from lifecycle.pipeline.spec import HEAD, Pipeline

DEFAULT = "default"


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option.

    Attributes:
        key: Its dotted name.
        value: What it is.
        origin: ``FILE:LINE:COLUMN``, an environment variable, the command line, or ``default``.
    """

    key: str
    value: JSON
    origin: str

    def to_json(self) -> dict[str, JSON]:
        """Plain data."""
        return {"key": self.key, "value": self.value, "origin": self.origin}


def list_options(config: Config, pipeline: Pipeline) -> list[Option]:
    """All options of the head and of the stages that run, in the order of the file's documentation.

    Args:
        config: The layers that the pipeline was read from.
        pipeline: What came of them.
    """
    found = []
    for name in HEAD:
        if name == "budget":
            found += list(_options(config, name, pipeline.budget))
        elif name == "seed":
            found.append(_option(config, ("seed",), pipeline.seed))
        elif name == "stages":
            origin = config.origin(("stages",)) if lookup(config, ("stages",)) is not None else DEFAULT
            found.append(Option(key="stages", value=list(pipeline.stages), origin=origin))
        else:
            found += list(_leaves(config, (name,)))
    for name, stage in pipeline.stages.items():
        found += list(_options(config, name, stage))
    return found


def _options(config: Config, name: str, options: Budget | object) -> Iterator[Option]:
    """Every field of a dataclass: what was set below its name, else its default."""
    given = {each.key for each in _leaves(config, (name,))}
    for each in fields(cast("Any", options)):
        key = (name, each.name)
        if any(known == ".".join(key) or known.startswith(".".join(key) + ".") for known in given):
            yield from _leaves(config, key)
        elif not (each.name == "gates" and name == "register"):  # they are set at the top
            yield Option(key=".".join(key), value=getattr(options, each.name), origin=DEFAULT)


def _leaves(config: Config, key: Key) -> Iterator[Option]:
    value = lookup(config, key)
    if isinstance(value, Mapping) and value:
        for name in value:
            yield from _leaves(config, (*key, name))
    elif value is not None or key in config.origins:
        yield _option(config, key, value)


def _option(config: Config, key: Key, value: JSON) -> Option:
    origin = config.origin(key) if lookup(config, key) is not None or key in config.origins else DEFAULT
    return Option(key=".".join(key), value=value, origin=origin)
