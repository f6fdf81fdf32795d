from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(290)
def test_a_pipeline_that_is_killed_again_and_again_ends_as_one_that_never_was() -> None:
    """``make chaos`` does it at length. In a process of its own, which forks before it has threads."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.pipeline.chaos", "--short"],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-5000:]
