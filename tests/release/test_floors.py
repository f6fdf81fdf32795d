from __future__ import annotations

import re
import tomllib
from pathlib import Path

import lifecycle
from tests.release.__main__ import TESTS, TOOLS
from tests.release.floors import ROOT, floors

PINS = Path(__file__).with_name("lowest.txt")


def pins() -> dict[str, str]:
    lines = [line for line in PINS.read_text().splitlines() if not line.startswith("#")]
    found = dict(line.split("==", 1) for line in lines)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found.items()}


def same(one: str, other: str) -> bool:
    """Whether two versions are one, as in 1.24 and 1.24.0."""
    return re.sub(r"(\.0)+$", "", one) == re.sub(r"(\.0)+$", "", other)


def test_the_lowest_versions_that_are_tested_are_those_that_are_allowed() -> None:
    allowed = floors("examples") | {name: bound for name, bound in floors("dev").items() if name in TOOLS}
    tested = pins()
    differing = {
        name: (bound, tested.get(name)) for name, bound in allowed.items() if not same(bound, tested[name])
    }
    assert differing == {}, "renew tests/release/lowest.txt as its head says"


def test_what_is_run_with_them_is_there() -> None:
    assert [name for name in TESTS if not (ROOT / name).exists()] == []


def test_the_version_is_the_same_wherever_it_is_told() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == lifecycle.__version__
