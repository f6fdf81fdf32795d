"""Where results and registry are, for whoever says so, and for whoever does not."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "LIFECYCLE_WORKSPACE"


def given_workspace(workspace: str | Path | None, environment: Mapping[str, str] = os.environ) -> Path | None:
    """The workspace that was named, by the caller or by ``LIFECYCLE_WORKSPACE``; None to look for one."""
    named = workspace or environment.get(VARIABLE)
    return Path(named) if named else None


def uri_of(name: str, version: int | str) -> str:
    """``3`` and ``@challenger`` as MLflow writes them.

    >>> uri_of("digits", 3), uri_of("digits", "@challenger")
    ('models:/digits/3', 'models:/digits@challenger')
    """
    text = str(version)
    return f"models:/{name}{text}" if text.startswith("@") else f"models:/{name}/{text}"
