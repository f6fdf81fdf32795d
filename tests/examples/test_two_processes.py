"""The two-process example: one process and two end alike."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.examples.folders import EXAMPLES

SCRIPT = EXAMPLES / "two_processes" / "train.py"


def test_one_process_and_two_end_alike(tmp_path: Path) -> None:
    said = []
    for devices in ("1", "2"):
        done = subprocess.run(
            [sys.executable, SCRIPT, "--devices", devices, "--epochs", "1"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert done.returncode == 0, done.stderr
        (line,) = [line for line in done.stdout.splitlines() if "process(es)" in line]
        said.append(line)
    assert said[0].startswith("1 process(es), 16 steps: test_acc 0.")
    assert said[1] == said[0].replace("1 process(es)", "2 process(es)")
