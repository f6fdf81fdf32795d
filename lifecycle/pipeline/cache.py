"""Finished artifacts by stage and key, verified before they are used."""

from __future__ import annotations

from pathlib import Path

from lifecycle.core.artifact import MANIFEST, Artifact, open_artifact
from lifecycle.core.errors import ArtifactError


def look_up(path: Path) -> tuple[Artifact | None, str]:
    """A finished artifact, verified; without one, the reason: empty when there never was one."""
    if not path.exists():
        return None, ""
    try:
        return open_artifact(path), ""
    except ArtifactError as error:
        return None, error.message


def find_artifact(cache: Path, digest: str) -> Artifact | None:
    """The artifact of a digest among all stages' results, verified; None where there is none."""
    for manifest in cache.glob(f"*/*/{MANIFEST}"):
        found, _ = look_up(manifest.parent)
        if found is not None and found.digest == digest:
            return found
    return None
