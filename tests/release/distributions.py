"""The wheel and the sdist, built from a copy of the tree as it would be cloned."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
STAGE_FOLDERS = ("train", "compress", "export", "serve")
BUILD = (
    "import sys; from setuptools import build_meta; into = sys.argv[1]; "
    "build_meta.build_sdist(into); build_meta.build_wheel(into)"
)


def build(folder: Path) -> Path:
    """Write both into a folder that has a copy of the sources below it; returns the folder."""
    source = folder / "source"
    source.mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("lifecycle", *STAGE_FOLDERS):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignored)
    done = subprocess.run(
        [sys.executable, "-c", BUILD, folder], cwd=source, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return folder


def wheel_of(folder: Path) -> Path:
    """The wheel in a folder."""
    return next(folder.glob("*.whl"))


def packaged() -> set[str]:
    """Every file that belongs into a distribution, by its path below the import package's folder."""
    return {
        path.relative_to(ROOT).as_posix()
        for top in ("lifecycle", *(f"lifecycle/{folder}" for folder in STAGE_FOLDERS))
        for path in (ROOT / top).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as work:
        into = Path(sys.argv[1])
        into.mkdir(parents=True, exist_ok=True)
        for path in [*build(Path(work)).glob("*.whl"), *Path(work).glob("*.tar.gz")]:
            shutil.copy(path, into)
