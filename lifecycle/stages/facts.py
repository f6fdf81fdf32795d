"""Where an artifact came from: written beside it, outside its digest."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from lifecycle.core.canonical import JSON
from lifecycle.core.reference import sources_digest
from lifecycle.core.stage import Context, Stage
from lifecycle.pipeline.libraries import versions


def facts_of(
    stage: Stage, context: Context, metrics: Mapping[str, float], headline: Sequence[str] = (), **more: JSON
) -> dict[str, JSON]:
    """The facts of a stage's result.

    Args:
        stage: Its options become ``config``.
        context: Project and seed.
        metrics: What was measured.
        headline: The metrics to show when there is room for one or two.
        more: Further facts.
    """
    project = context.project
    return {
        "config": cast("JSON", asdict(cast("Any", stage))),
        "model": {"reference": project.model.text, "args": dict(project.model_args)},
        "data": {"reference": project.data.text, "args": dict(project.data_args)},
        "sources": sources_digest(project.root, project.model, project.data),
        "seed": context.seed,
        "metrics": dict(metrics),
        "headline": [name for name in headline if name],
        "git": git_state(project.root),
        "versions": versions(),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        **more,
    }


def git_state(root: Path) -> dict[str, JSON]:
    """Commit and whether the working tree differs from it; both None outside a repository."""
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return {"commit": None, "dirty": None}
    return {"commit": commit, "dirty": bool(_git(root, "status", "--porcelain"))}


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
