from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.plain import RAN, Pipeline, plain_project


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    """Four stages that write a few bytes; nothing has run yet."""
    RAN.clear()
    return plain_project(tmp_path / "project")
