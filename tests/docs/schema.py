"""The schema of pipeline files, with the stages that the documentation brings itself."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from lifecycle.pipeline.schema import file_schema
from lifecycle.stages.trainer_options import trainer_options
from tests.docs.pages import blocks, pages

STAGES = re.compile(r'^\[project\.entry-points\."lifecycle\.stages"\]\n((?:\w+ = .*\n)+)', re.MULTILINE)


@cache
def pipeline_schema() -> dict[str, Any]:
    schema: dict[str, Any] = file_schema({"trainer": trainer_options()})
    brought = {
        name
        for page in pages()
        for block in blocks(page)
        if block.language == "toml"
        for found in STAGES.findall(block.text)
        for name in re.findall(r"^(\w+) =", found, re.MULTILINE)
    }
    for name in brought:
        schema["properties"][name] = {"type": "object"}
        schema["properties"]["stages"]["items"]["enum"].append(name)
    return schema
