from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lifecycle.serve.observability.cells import Cells, readings

_DIE = """
import os, sys
from pathlib import Path
from lifecycle.serve.observability.cells import Cells
cells = Cells(Path(sys.argv[1]))
cells.values[cells.block("requests", ("GET",))] += 5
cells.values[cells.block("busy")] = 1
with open(Path(sys.argv[1]) / "worker-0.names", "a") as names:
    names.write('["half a na')
os._exit(9)
"""


def total(folder: Path, name: str) -> float:
    return sum(sum(found.values) for found in readings(folder) if found.name == name)


def test_what_a_process_counted_is_taken_over_when_it_died(tmp_path: Path) -> None:
    """Even when it died while it wrote a name."""
    assert subprocess.run([sys.executable, "-c", _DIE, str(tmp_path)]).returncode == 9
    assert total(tmp_path, "requests") == 5
    cells = Cells(tmp_path)
    cells.values[cells.block("requests", ("GET",))] += 1
    cells.values[cells.block("new")] += 2
    cells.clear(["busy"])
    assert (total(tmp_path, "requests"), total(tmp_path, "new"), total(tmp_path, "busy")) == (6, 2, 0)
    assert len(list(tmp_path.glob("*.cells"))) == 1
    for line in (tmp_path / "worker-0.names").read_text().splitlines():
        json.loads(line)
    cells.close()


def test_processes_that_live_have_files_of_their_own(tmp_path: Path) -> None:
    one, two, other = Cells(tmp_path), Cells(tmp_path), Cells(tmp_path, "follower")
    for cells in (one, two, other):
        cells.values[cells.block("requests", ("GET",))] += 1
    assert [found.process for found in readings(tmp_path)] == ["follower-0", "worker-0", "worker-1"]
    assert total(tmp_path, "requests") == 3
    for cells in (one, two, other):
        cells.close()


def test_labels_without_end_are_an_error_not_a_leak(tmp_path: Path) -> None:
    cells = Cells(tmp_path)
    with pytest.raises(OverflowError, match="no room to count x"):
        for number in range(10_000):
            cells.block("x", (str(number),))
    cells.close()
