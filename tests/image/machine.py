"""What an image is built on here: a Debian root for the official Python image, and pip as this machine has it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

SUITE = "bookworm"  # Debian's Python in it is 3.11, as in python:3.11-slim of the time
PACKAGES = ("python3", "python3-venv", "ca-certificates")
BASES = {"python:3.11-slim": SUITE}


def debian_root(folder: Path, mirror: str) -> Path:
    """A root with Python as `python`, made once and kept."""
    root = folder / f"debian-{SUITE}"
    if (root / "made").is_file():
        return root
    subprocess.run(["rm", "-rf", root], check=True)
    words = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(root), mirror]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    (root / "usr/local/bin/pip").write_text('#!/bin/sh\nexec /usr/bin/python3 -m pip "$@"\n')
    (root / "usr/local/bin/pip").chmod(0o755)
    # As the container engine would write it.
    (root / "etc/hosts").write_text("127.0.0.1 localhost container\n::1 localhost ip6-localhost\n")
    (root / "made").touch()
    return root


@dataclass(kw_only=True)
class PipSettings:
    """How pip is set up on this machine: variables, and the files that they speak of."""

    variables: dict[str, str] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)


def pip_settings() -> PipSettings:
    """As `pip config list` says, so that packages come from where they come from outside."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True
    ).stdout
    found = PipSettings()
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        [text] = shlex.split(value) or [""]
        name = key.rpartition(".")[2].upper().replace("-", "_")
        words = text.replace("\\n", " ").split()
        found.variables[f"PIP_{name}"] = " ".join(words)
        found.files += [path for path in map(_path, words) if path is not None]
    found.files = sorted(set(found.files))
    return found


def _path(word: str) -> Path | None:
    path = Path(re.sub("^file://", "", word))
    if not path.is_absolute() or not path.exists():
        return None
    # An index of links names files beside itself.
    return path.parent if path.name == "simple" else path
