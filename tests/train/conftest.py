from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a trainer writes into the current folder, logs and checkpoints, lands in the test's own."""
    monkeypatch.chdir(tmp_path)
