from __future__ import annotations

import json
from pathlib import Path

import pytest

from lifecycle.core.artifact import Draft
from lifecycle.workspace import Workspace
from tests.cli.commands import CommandLine

ALL = ("--keep-runs", "0", "--keep-days", "0")


@pytest.fixture
def result(lifecycle: CommandLine, store: Path) -> Path:
    """A result in the cache that no run ever used."""
    with Draft(Workspace(store.parent).cache / "train" / "ab12") as draft:
        (draft.path / "file").write_text("content")
        return draft.seal("checkpoint").path


def test_it_only_shows_what_would_go(lifecycle: CommandLine, result: Path) -> None:
    ended = lifecycle("gc", *ALL)
    assert ended.code == 0
    assert "To be removed" in ended.out and "no kept run or version came from it" in ended.out
    assert ended.err == "Nothing was changed. Add --yes to do it.\n"
    assert result.is_dir()


def test_with_yes_it_goes(lifecycle: CommandLine, result: Path) -> None:
    size = sum(file.stat().st_size for file in result.iterdir())
    ended = lifecycle("gc", *ALL, "--yes", "--json")
    found = json.loads(ended.out)
    assert (found["done"], found["bytes"], found["saved"]) == (True, size, [])
    assert [(item["kind"], item["address"]) for item in found["items"]] == [("cache", str(result))]
    assert not result.exists()
    assert "Nothing to collect" in lifecycle("gc", *ALL).out


def test_what_is_young_stays(lifecycle: CommandLine, result: Path) -> None:
    assert "Nothing to collect: all there is is referred to, or young." in lifecycle("gc", "--yes").out
    assert result.is_dir()


def test_a_negative_limit_is_refused(lifecycle: CommandLine, store: Path) -> None:
    ended = lifecycle("gc", "--keep-days", "-1")
    assert (ended.code, ended.err) == (2, "error: keep-days is -1; expected a number from 0 on\n")
