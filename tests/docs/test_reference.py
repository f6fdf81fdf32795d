"""docs/reference/ says what the code says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from docs.generate.commands import ENVIRONMENT, INTERNAL
from docs.generate.commands import page as commands_page
from docs.generate.pages import FOLDER, stale
from docs.generate.python import MODULES, public
from docs.generate.recorded import LEDGER, RUN, VERSION
from lifecycle.cli.main import VERBS
from lifecycle.serve.observability.metrics import FAMILIES
from lifecycle.serve.routes import Routes
from tests.docs.pages import ROOT

# Where tags are written; what else begins so is the name of a module, or of a part of a file.
RECORDING = (
    "ledger",
    "registry",
    "registration",
    "search",
    "session",
    "transfer",
    "pipeline/runner",
    "tracking/*",
)


def test_the_committed_pages_are_current() -> None:
    assert stale() == [], "run `make docs`, and look at what it changed"


def test_every_tag_that_is_written_is_described() -> None:
    written = {
        text.value
        for pattern in RECORDING
        for path in ROOT.glob(f"lifecycle/{pattern}.py")
        for text in ast.walk(ast.parse(path.read_text()))
        if isinstance(text, ast.Constant)
        and isinstance(text.value, str)
        and re.fullmatch(r"lifecycle\.[a-z_.]+", text.value)
    }
    written = {name for name in written if not module(name)}
    assert written <= RUN.keys() | VERSION.keys() | LEDGER.keys()
    assert {"lifecycle.key", "lifecycle.run", "lifecycle.entry"} <= written


def test_every_variable_of_the_environment_is_described() -> None:
    read = {
        name
        for folder in ("lifecycle", "train", "compress", "export", "serve")
        for path in (ROOT / folder).rglob("*.py")
        for name in re.findall(r'"(LIFECYCLE_[A-Z_]*[A-Z])"', path.read_text())
    }
    assert "LIFECYCLE_WORKSPACE" in read
    assert read - ENVIRONMENT.keys() == INTERNAL


def module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def test_every_route_is_described() -> None:
    page = (FOLDER / "http.md").read_text()
    source = Path(str(Routes.table.__code__.co_filename)).read_text()
    paths = set(re.findall(r'Route\((?:path \+ )?"(/[^"]*[^"/])"', source))
    assert {"/livez", "/infer", "/predict"} <= paths
    assert sorted(path for path in paths if path not in page) == []


def test_every_verb_and_public_name_is_described() -> None:
    assert all(f"## lifecycle {name}" in commands_page() for name in VERBS)
    import lifecycle

    (top,) = [each for each in MODULES if each.file == "lifecycle"]
    text = (FOLDER / "lifecycle.md").read_text()
    assert [name for name in public(lifecycle) if f"[`{name}`]" not in text] == []
    assert top.modules == ("lifecycle",)


@pytest.mark.parametrize("page", [ROOT / "docs/operating.md", FOLDER / "http.md"], ids=lambda path: path.name)
def test_metrics_that_are_named_are_exposed(page: Path) -> None:
    exposed = {name + ("_total" if family.kind == "counter" else "") for name, family in FAMILIES.items()}
    exposed |= {f"{name}_bucket" for name, family in FAMILIES.items() if family.kind == "histogram"}
    exposed |= set(
        re.findall(r'"(lifecycle_process_\w+)"', (ROOT / "serve/observability/exposition.py").read_text())
    )
    named = set(re.findall(r"\blifecycle_[a-z_]+\b", page.read_text()))
    assert "lifecycle_model_info" in named
    assert named - exposed == set()
