"""A folder for each run: ``version_0``, ``version_1`` and so on."""

from __future__ import annotations

from pathlib import Path


def claim_version(root: Path) -> int:
    """Make the folder of the next version, and return its number: no two processes get the same."""
    root.mkdir(parents=True, exist_ok=True)
    taken = [path.name.removeprefix("version_") for path in root.glob("version_*")]
    number = max((int(rest) for rest in taken if rest.isdecimal()), default=-1) + 1
    while True:
        try:
            (root / f"version_{number}").mkdir()
        except FileExistsError:  # somebody else has just made it
            number += 1
        else:
            return number
