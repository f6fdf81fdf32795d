"""The wheel, installed where nothing of the sources is found: what it holds, and that it works from there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.release.distributions import build, packaged, wheel_of

KINDS = (".html", ".css", ".js", ".template", ".jinja", "py.typed")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("built"))


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel, beside which the dependencies of this one are found."""

    folder: Path
    work: Path

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one of its commands, in a folder without any project."""
        plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(
            [self.folder / "bin" / words[0], *words[1:]],
            cwd=self.work,
            env=plain,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    words = ["--disable-pip-version-check", "--python", str(python), "install", "--no-deps", "--no-index"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", *words, str(wheel_of(built))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # A folder that is named in a .pth file is searched last, and its own .pth files (of the editable install) are
    # not read: lifecycle is found in the wheel or not at all.
    [packages] = (folder / "venv").glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    (folder / "work").mkdir()
    return Installed(folder / "venv", folder / "work")


def test_wheel_holds_every_file_of_the_package_and_nothing_else(built: Path) -> None:
    names = set(zipfile.ZipFile(wheel_of(built)).namelist())
    assert sorted(packaged() - names) == []
    assert {name.split("/")[0] for name in names} == {"lifecycle", "model_lifecycle-0.1.0.dist-info"}
    assert [name for name in names - packaged() if not name.startswith("model_lifecycle-")] == []
    assert [kind for kind in KINDS if not any(name.endswith(kind) for name in names)] == []
    assert "lifecycle/py.typed" in names


def test_sdist_holds_every_file_of_the_package(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    assert sorted(packaged() - names) == []
    assert {"pyproject.toml", "README.md", "LICENSE"} <= names
    assert [name for name in names if name.startswith(("tests/", "benchmarks/", "examples/"))] == []


def test_it_is_the_wheel_that_is_imported_and_torch_is_not(installed: Installed) -> None:
    code = "import sys, lifecycle; print(lifecycle.__file__); print('torch' in sys.modules, 'mlflow' in sys.modules)"
    place, loaded = installed("python", "-c", code).stdout.splitlines()
    assert Path(place).is_relative_to(installed.folder)
    assert loaded == "False False"


def test_its_command_says_its_version_and_its_verbs(installed: Installed) -> None:
    assert installed("lifecycle", "--version").stdout == "lifecycle, version 0.1.0\n"
    helped = installed("lifecycle", "--help")
    assert helped.returncode == 0 and "promote" in helped.stdout


def test_a_new_project_is_planned_from_it(installed: Installed) -> None:
    made = installed("lifecycle", "init", "tumours", "--template", "tabular")
    assert made.returncode == 0, made.stderr
    planned = installed("lifecycle", "plan", "tumours/pipeline.yaml", "--json")
    assert planned.returncode == 0, planned.stderr
    assert "register" in planned.stdout
    schema = installed("lifecycle", "config", "schema")
    assert "$schema" in json.loads(schema.stdout)


def test_doctor_finds_the_installation_whole(installed: Installed) -> None:
    found = installed("lifecycle", "doctor", "--json")
    broken = [finding for finding in json.loads(found.stdout) if finding["state"] == "broken"]
    assert broken == [] and found.returncode == 0, found.stderr
