"""YAML in the documentation is what the pipeline's schema allows, whole files and parts of them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.docs.pages import Block, blocks, pages
from tests.docs.schema import pipeline_schema

NO_PIPELINE_FILE = "no pipeline file"
FOUND = [block for page in pages() for block in blocks(page) if block.language == "yaml"]


def faults(text: str) -> list[str]:
    given: Any = yaml.safe_load(text)
    if given is None:
        return []  # a comment alone
    schema = pipeline_schema()
    if not {"name", "model", "data"} <= given.keys():
        schema = {**schema, "required": []}
    return [
        f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(given)
    ]


@pytest.mark.parametrize("block", FOUND, ids=str)
def test_yaml_is_allowed(block: Block) -> None:
    if block.mark == NO_PIPELINE_FILE:
        yaml.safe_load(block.text)
    else:
        assert faults(block.text) == []


def test_what_is_not_allowed_is_noticed() -> None:
    unexpected = "$.prune: Additional properties are not allowed ('mac' was unexpected)"
    assert unexpected in faults("prune: {mac: 0.5}")
    assert faults("train: {trainer: {max_epochs: many}}") != []
    assert faults("prune: {macs: 0.5}") == []
