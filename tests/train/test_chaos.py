"""Training that is killed at random instants ends in the same bits; `make chaos` does this at length."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.train.chaos import SETTINGS, Journal, same

# Killed in a process that has done nothing but import: forking one that has run the suite is no fair trial.
CODE = """
import random, sys
from pathlib import Path
from tests.train.chaos import SETTINGS, campaign
wrong = campaign(SETTINGS, 12, Path(sys.argv[1]), int(sys.argv[2]))
sys.exit(1 if wrong else 0)
"""


@pytest.mark.timeout(600)
def test_killed_at_random_instants_training_ends_in_the_same_bits(tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    # Into a file: a loader's worker whose process is killed at its birth lives on, and would hold a pipe open.
    with (tmp_path / "said").open("w") as said:
        done = subprocess.run(
            [sys.executable, "-c", CODE, str(tmp_path), str(seed)],
            stdout=said,
            stderr=said,
            cwd=Path(__file__).parents[2],
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    told = (tmp_path / "said").read_text()
    assert done.returncode == 0, f"seed {seed}\n{told[-4000:]}"
    assert "12 kills" in told or "13 kills" in told or "14 kills" in told
    # The comparison itself sees a difference: two settings do not end alike.
    first, second = (tmp_path / setting.name / "undisturbed" for setting in SETTINGS[:2])
    assert not same(first, second)
    assert len(Journal.read(first / "journal")) > 100
