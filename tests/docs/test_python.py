"""Python in the documentation compiles, imports only what there is, and runs where it is marked to."""

from __future__ import annotations

import ast
import sys
import textwrap
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from tests.docs.pages import Block, blocks, pages

FOUND = [block for page in pages() for block in blocks(page) if block.language == "python"]
RUN = [block for block in FOUND if block.mark == "run"]


def parsed(block: Block) -> ast.Module:
    try:
        return ast.parse(block.text, f"{block}")
    except SyntaxError:
        return ast.parse(textwrap.dedent(block.text), f"{block}")


@pytest.mark.parametrize("block", FOUND, ids=str)
def test_python_imports_what_there_is(block: Block) -> None:
    missing = []
    for node in ast.walk(parsed(block)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "lifecycle":
            module = import_module(str(node.module))
            missing += [f"{node.module}.{each.name}" for each in node.names if not hasattr(module, each.name)]
        elif isinstance(node, ast.Import):
            for each in node.names:
                if each.name.partition(".")[0] == "lifecycle":
                    import_module(each.name)
    missing += [f"pl.{name}" for name in used_of_pl(block) if not hasattr(import_module("lifecycle"), name)]
    assert missing == []


def used_of_pl(block: Block) -> set[str]:
    return {
        node.attr
        for node in ast.walk(parsed(block))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "pl"
    }


@pytest.mark.parametrize("block", RUN, ids=str)
def test_marked_python_runs(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = ModuleType("page")  # a class of a page says where it is from
    monkeypatch.setitem(sys.modules, "page", page)
    exec(compile(block.text, str(block), "exec"), vars(page))


def test_some_are_run() -> None:
    assert {block.page for block in RUN} >= {"docs/training.md", "docs/compressing.md"}
