"""The house stands: links, pins, make targets, documentation, the image, the rule for skipped tests."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import LONGEST

ROOT = Path(__file__).parents[1]
STAGE_FOLDERS = ("train", "compress", "export", "serve")


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("folder", STAGE_FOLDERS)
def test_stage_folder_is_linked_into_the_package(folder: str) -> None:
    link = ROOT / "lifecycle" / folder
    assert link.is_symlink(), (
        f"{link} is a copy; check the repository out with links (git config core.symlinks true)"
    )
    assert os.readlink(link) == f"../{folder}"
    assert (link / "__init__.py").samefile(ROOT / folder / "__init__.py")


@pytest.mark.parametrize("folder", STAGE_FOLDERS)
def test_stage_folder_refuses_its_bare_name(folder: str) -> None:
    done = run(sys.executable, "-c", f"import {folder}")
    assert done.returncode == 1
    assert f"import it as 'lifecycle.{folder}'" in done.stderr


def test_stage_folders_are_not_importable_by_bare_name_from_elsewhere(tmp_path: Path) -> None:
    names = ", ".join(repr(folder) for folder in STAGE_FOLDERS)
    search = f"from importlib.util import find_spec; print([name for name in ({names}) if find_spec(name)])"
    assert run(sys.executable, "-c", search, cwd=tmp_path).stdout == "[]\n"


def test_every_requirement_is_pinned_by_the_constraints() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"].values()
    groups = project["dependency-groups"].values()
    required = {
        requirement
        for listed in [project["project"]["dependencies"], *extras, *groups]
        for requirement in listed
    }
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert pins[0].startswith("torch==")
    pinned = {plain_name(pin) for pin in pins}
    assert not {plain_name(requirement) for requirement in required} - pinned
    assert [pin for pin in pins if not re.fullmatch(r"[\w.-]+==[\w.]+", pin)] == []


def plain_name(requirement: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=!~ ;\[]", requirement)[0]).lower()


def test_the_serving_image_asks_for_the_same_versions_as_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    dependencies = {plain_name(line): line for line in project["project"]["dependencies"]}
    dependencies["mlflow-skinny"] = dependencies["mlflow"].replace("mlflow", "mlflow-skinny")
    served = project["dependency-groups"]["serve"]
    assert [line for line in served if dependencies[plain_name(line)] != line] == []
    assert "torch" not in {plain_name(line) for line in served}


def test_make_lists_every_target() -> None:
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert targets is not None
    listed = run("make", "-s").stdout
    assert [name for name in targets[1].split() if f"make {name} " not in listed] == []
    assert {"demo", "test", "check", "bench", "clean"} <= set(targets[1].split())


def test_make_refuses_an_old_python(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.10.4 && exit 0\nexit 1\n')
    old.chmod(0o755)
    done = run("make", "-s", "setup", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}")
    assert done.returncode == 2
    assert f"Python 3.11 or newer is needed, and {old} is Python 3.10.4" in done.stdout
    assert not (tmp_path / "venv").exists()


def test_the_image_runs_without_root_and_asks_readyz_for_its_health() -> None:
    stages = re.split(r"^FROM ", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)[1:]
    serve = stages[-1]
    base, name = re.findall(r"(\S+) AS (\S+)", serve)[0]
    assert name == "serve"
    inherited = next(stage for stage in stages if f"AS {base}\n" in stage)
    users = re.findall(r"^USER (\S+)$", inherited + serve, re.MULTILINE)
    assert users and users[-1].split(":")[0] not in {"root", "0"}
    assert re.search(r"^HEALTHCHECK .*\\\n.*/readyz", serve, re.MULTILINE)
    assert "models:/${MODEL_NAME" in serve and "@champion" in serve


def test_every_decision_is_listed() -> None:
    index = (ROOT / "docs/adr/README.md").read_text()
    assert [path.name for path in ROOT.glob("docs/adr/0*.md") if f"({path.name})" not in index] == []


def test_every_system_package_that_a_test_needs_is_installed_by_ci() -> None:
    declared = re.search(r"^packages=\((.*)\)$", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert declared is not None
    tests = [path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)]
    needed = {name for path in tests for name in re.findall(r'mark\.needs\("([^"]+)"', path.read_text())}
    assert needed == set(declared[1].split())


@pytest.fixture
def absent_package(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "tests/conftest.py", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    needs: x\n")
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "@pytest.mark.needs('no-such-package')\n"
        "def test_one(): ...\n"
        "@pytest.mark.needs('no-such-package', 'no-such-program')\n"
        "def test_two(): ...\n"
        "@pytest.mark.needs('a-package', 'sh')\n"
        "def test_three(): ...\n"
    )
    return tmp_path


def test_absent_system_package_skips_with_a_counted_notice(absent_package: Path) -> None:
    done = run(sys.executable, "-m", "pytest", "-q", cwd=absent_package)
    assert done.returncode == 0
    assert "NOTICE: 2 tests skipped: the Debian package 'no-such-package' is not installed" in done.stdout
    assert "1 passed, 2 skipped" in done.stdout


def test_absent_system_package_fails_where_skipping_is_forbidden(absent_package: Path) -> None:
    done = run(sys.executable, "-m", "pytest", "-q", cwd=absent_package, LIFECYCLE_FORBID_SKIPS="1")
    assert done.returncode == 1
    assert "the Debian package 'no-such-package' is not installed, and skipping is forbidden" in done.stdout


def test_the_longest_files_are_there() -> None:
    assert [name for name in LONGEST if not (ROOT / "tests" / name).is_file()] == []
