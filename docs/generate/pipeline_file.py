"""The page of the pipeline file, from the schema that checks it."""

from __future__ import annotations

import json
from typing import Any

from docs.generate.markdown import inline, table
from lifecycle.core.plugins import TABLES
from lifecycle.pipeline.schema import file_schema
from lifecycle.stages.trainer_options import trainer_options

TITLE = "Pipeline file"
HEAD = """What may stand in a pipeline file; [the guide](../pipeline-file.md) says how values are layered, and how secrets
are kept out of it. `lifecycle config schema` prints the same as JSON Schema, with the stages that are installed.
"""
TRAINER = """The key `trainer` of `train`, `prune` and `quantize` takes any of these; what they mean is said at
[`Trainer`](lifecycle.md#trainer).
"""


def page() -> str:
    """The top of the file, budget, gates, each stage, and what `trainer` takes."""
    schema: Any = file_schema({"trainer": trainer_options()})
    top = {name: part for name, part in schema["properties"].items() if name not in TABLES["stages"]}
    top["stages"]["items"]["enum"] = list(TABLES["stages"])  # not those that happen to be installed here
    parts = [HEAD, "## Top\n", _options(top, set(schema["required"]), links={"budget", "gates"})]
    gates = schema["properties"]["gates"]["additionalProperties"]
    parts += [
        "## budget\n",
        inline(top["budget"]["description"]) + "\n",
        _options(top["budget"]["properties"], set()),
    ]
    parts += [
        "## gates\n",
        "A mapping from the name of a metric to any of these:\n",
        _options(gates["properties"], set()),
    ]
    for name in TABLES["stages"]:
        stage = schema["properties"][name]
        parts += [f"## {name}\n", inline(stage["description"]) + "\n"]
        if stage["properties"]:
            parts.append(_options(stage["properties"], set(stage.get("required", [])), links={"trainer"}))
    trainer = schema["properties"]["train"]["properties"]["trainer"]["properties"]
    rows = [(f"`{name}`", type_text(part)) for name, part in trainer.items()]
    return "\n".join([*parts, "## trainer\n", TRAINER, table(("argument", "type"), rows)])


def _options(
    properties: dict[str, Any], required: set[str], links: frozenset[str] | set[str] = frozenset()
) -> str:
    rows = []
    for name, part in properties.items():
        shown = (
            "required"
            if name in required
            else f"`{json.dumps(part['default'])}`"
            if "default" in part
            else ""
        )
        linked = f"[`{name}`](#{name})" if name in links else f"`{name}`"
        rows.append((linked, type_text(part), shown, inline(part.get("description", ""))))
    return table(("key", "type", "default", ""), rows)


def type_text(schema: dict[str, Any]) -> str:
    """A type in words: `integer`, one of several values, or several types."""
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(type_text(each) for each in schema["anyOf"]))
    kind = schema.get("type", "any")
    if kind == "array":
        items = schema.get("items") or {}
        return "list" if not items else f"list of {type_text(items)}"
    kinds = kind if isinstance(kind, list) else [kind]
    words = {"object": "mapping", "string": "text", "boolean": "true or false", "integer": "whole number"}
    return " or ".join(words.get(each, each) for each in kinds)
