"""Versions of what computes: of the libraries that a stage names, and of what the user's code imports."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path
from platform import python_version_tuple

from lifecycle.core.canonical import JSON, canonical_json, sha256, sha256_file
from lifecycle.core.stage import LIBRARIES, Stage

OWN_NAME = "model-lifecycle"
OWN = ("core", "train", "compress", "export", "stages")  # our folders whose code makes results
# Modules whose distribution has another name, so that thousands of files need not be searched for it.
_OTHERWISE_CALLED = {
    "PIL": "pillow",
    "cv2": "opencv-python",
    "dateutil": "python-dateutil",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "torch_pruning": "torch-pruning",
    "yaml": "PyYAML",
}


def versions(libraries: Iterable[str] = LIBRARIES) -> dict[str, JSON]:
    """The version of each library, of Python and of ourselves; None for one that is not installed."""
    found: dict[str, JSON] = {"python": ".".join(python_version_tuple()[:2])}
    for library in (OWN_NAME, *libraries):
        found[library] = _version(library)
    return found


def imported_libraries(files: Mapping[str, Path]) -> list[str]:
    """The distributions that some of the project's files import, found in their text.

    Args:
        files: By their paths below the project's root, whose modules do not count.
    """
    own = {name.partition("/")[0].removesuffix(".py") for name in files}
    modules = {module for path in files.values() for module in _imports(path)}
    return sorted(filter(None, map(_distribution, modules - own - sys.stdlib_module_names - {"lifecycle"})))


@cache
def own_code() -> str:
    """SHA-256 over our own sources that make results: a version number does not tell checkouts apart."""
    root = Path(__file__).parents[1]
    files = [path for folder in OWN for path in (root / folder).rglob("*.py")]
    return _digest(root, files)


def code_of(stage: Stage) -> str:
    """SHA-256 over the sources behind a stage: ours, and those of another distribution's package."""
    package = type(stage).__module__.partition(".")[0]
    return own_code() if package == "lifecycle" else f"{own_code()} {_package_code(package)}"


@cache
def _package_code(package: str) -> str:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return ""
    path = Path(spec.origin)
    if not spec.submodule_search_locations:
        return sha256_file(path)
    return _digest(path.parent, list(path.parent.rglob("*.py")))


def _digest(root: Path, files: Iterable[Path]) -> str:
    named: list[JSON] = [[path.relative_to(root).as_posix(), sha256_file(path)] for path in sorted(files)]
    return sha256(canonical_json(named))


def _imports(path: Path) -> set[str]:
    """Top-level names of the modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module.partition(".")[0])
    return found


@cache
def _distribution(module: str) -> str | None:
    """The distribution that a module comes from, or None where none is installed."""
    for name in (_OTHERWISE_CALLED.get(module), module):
        if name is not None and _version(name) is not None:
            return name
    if find_spec(module) is None:
        return None
    return next(iter(packages_distributions().get(module, ())), None)


@cache
def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
