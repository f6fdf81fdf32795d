"""The lowest versions that pyproject.toml allows, as constraints for pip."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def floors(*extras: str) -> dict[str, str]:
    """The lower bound of each dependency, and of those of some extras, by the name that indexes compare.

    Raises:
        ValueError: a requirement has none.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = list(project["dependencies"])
    for extra in extras:
        listed += project["optional-dependencies"][extra]
    return dict(map(floor, listed))


def floor(requirement: str) -> tuple[str, str]:
    """The name and the lower bound of a requirement.

    >>> floor("mlflow[auth]>=3.11,<4")
    ('mlflow', '3.11')
    >>> floor("ruff==0.17.*")
    ('ruff', '0.17.0')
    >>> floor("tomli>=2,<3; python_version < '3.11'")
    ('tomli', '2')
    """
    requirement = requirement.partition(";")[0]
    found = re.match(r"([\w.-]+)(?:\[[\w,]+\])?(?:>=|==)([\d.]+?)(?:\.\*)?(?:,.*)?$", requirement)
    if found is None:
        raise ValueError(f"{requirement!r} has no lower bound")
    name, bound = found[1], found[2]
    return re.sub(r"[-_.]+", "-", name).lower(), f"{bound}.0" if requirement.endswith(".*") else bound


if __name__ == "__main__":
    print("\n".join(f"{name}=={bound}" for name, bound in floors(*sys.argv[1:]).items()))
