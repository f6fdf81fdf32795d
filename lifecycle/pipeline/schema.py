"""A JSON Schema of the pipeline file, for editors: made of the same dataclasses that check it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, fields
from inspect import getdoc
from typing import Any, cast, get_type_hints

from lifecycle.core import plugins
from lifecycle.core.budget import Budget
from lifecycle.core.canonical import JSON
from lifecycle.core.threshold import Threshold
from lifecycle.pipeline.plugin import load_stage
from lifecycle.pipeline.spec import ORDER

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, JSON]
Below = Mapping[str, Mapping[str, object]]

_REFERENCE: Schema = {
    "type": "string",
    "pattern": r"^[^:]+:[A-Za-z_]\w*$",
    "description": "FILE.py:CLASS beside this file, or package.module:CLASS.",
}
_ARGUMENTS: Schema = {
    "type": "object",
    "description": "Arguments of its __init__. ${env:NAME} stands for an environment variable.",
}


# What options say of each other: what `__post_init__` of their classes refuses.
_TOGETHER: Mapping[str, Schema] = {
    "Budget": {"dependentRequired": {"max_drop": ["metric"]}},
    "Threshold": {
        "minProperties": 1,
        "dependentSchemas": {
            "max_drop": {"anyOf": [{"required": ["min"]}, {"required": ["max"]}]},
            "max_ratio": {"not": {"required": ["min"]}},
        },
    },
    "Prune": {"oneOf": [{"required": [name]} for name in ("macs", "params", "channels", "latency_ms")]},
}


def file_schema(below: Below) -> Schema:
    """The schema of a pipeline file, with the stages that are installed here.

    Args:
        below: Types of what a mapping of options may hold, by the option's name: ``{"trainer": {…}}``.
    """
    names = list(plugins.table("stages"))
    stages = {name: stage_schema(load_stage(name), below) for name in names}
    return {
        "$schema": DIALECT,
        "title": "Pipeline file of lifecycle",
        "type": "object",
        "required": ["name", "model", "data"],
        "additionalProperties": False,
        "properties": {
            "name": {
                "type": "string",
                "pattern": r"^[\w-]+$",
                "description": "Names the experiment and the registered model.",
            },
            "model": _REFERENCE,
            "model_args": _ARGUMENTS,
            "data": _REFERENCE,
            "data_args": _ARGUMENTS,
            "seed": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1, "default": 0},
            "budget": options_schema(Budget, below),
            "gates": {
                "type": "object",
                "description": "Thresholds of promotion by metric.",
                "additionalProperties": options_schema(Threshold, below),
            },
            "stages": {
                "type": "array",
                "items": {"enum": cast("JSON", names)},
                "uniqueItems": True,
                "description": f"Their order, where it is another than {', '.join(ORDER)}.",
            },
            **stages,
        },
    }


def stage_schema(cls: type, below: Below) -> Schema:
    """The schema of a stage's options; ``null`` stands for none."""
    # `register.gates` are set at the top of the file.
    schema = options_schema(cls, below, without=("gates",))
    return {**schema, "type": ["object", "null"]}


def options_schema(cls: type, below: Below, without: tuple[str, ...] = ()) -> Schema:
    """The schema of a dataclass of options: types, defaults, and what its docstring says of each."""
    types = get_type_hints(cls, include_extras=True)
    said = descriptions(cls)
    properties: Schema = {}
    required: list[JSON] = []
    for each in fields(cls):
        if each.name in without:
            continue
        schema = _mapping(below[each.name]) if each.name in below else type_schema(types[each.name])
        if each.name in said:
            schema["description"] = said[each.name]
        if each.default is not MISSING:
            schema["default"] = list(each.default) if isinstance(each.default, tuple) else each.default
        elif each.default_factory is MISSING:
            required.append(each.name)
        properties[each.name] = schema
    first = (getdoc(cls) or "").partition("\n")[0]
    schema = {"type": "object", "description": first, "additionalProperties": False, "properties": properties}
    return schema | ({"required": required} if required else {}) | _TOGETHER.get(cls.__name__, {})


def type_schema(type_: object) -> Schema:
    """The schema of one type.

    >>> type_schema(float | None)
    {'anyOf': [{'type': 'number'}, {'type': 'null'}]}
    """
    from pydantic import TypeAdapter

    return cast("Schema", TypeAdapter(cast("Any", type_)).json_schema())


def descriptions(cls: type) -> dict[str, str]:
    """What the section ``Attributes:`` of a docstring says, by attribute."""
    _, found, section = (getdoc(cls) or "").partition("Attributes:\n")
    if not found:
        return {}
    section = re.split(r"\n(?=\S)", section)[0]
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def _mapping(types: Mapping[str, object]) -> Schema:
    properties = {name: type_schema(type_) for name, type_ in types.items()}
    return {"type": "object", "additionalProperties": False, "properties": properties}
