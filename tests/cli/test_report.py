from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import CommandLine


@pytest.mark.usefixtures("store")
def test_before_the_first_run_there_is_none(lifecycle: CommandLine) -> None:
    ended = lifecycle("report")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.endswith(".lifecycle holds no report yet\n`lifecycle run FILE` ends with one.\n")


def test_the_newest_is_named(lifecycle: CommandLine, store: Path) -> None:
    for name in ("20261126-150000-b", "20261126-140000-a"):
        page = store.parent / "reports" / name / "report.html"
        page.parent.mkdir(parents=True)
        page.write_text(name)
    assert "150000-b/report.html" in lifecycle("report").out
