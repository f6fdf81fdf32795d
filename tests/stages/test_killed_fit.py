from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(290)
def test_wherever_a_fit_is_killed_its_best_epoch_is_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.stages.killed_fit"],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = re.search(r"killed before each of (\d+) files: the best epoch is the same", done.stdout)
    assert found and int(found[1]) >= 6
