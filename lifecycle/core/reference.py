"""Naming a user's class in text: ``FILE.py:CLASS`` beside the pipeline file, or ``package.module:CLASS``.

Files are read as text to find out what they define, what they import from the project and which
arguments a class takes; only `Reference.load` runs them. A project is imported under names of its
own, so that a ``train.py`` of the user, or an older snapshot of the same file, meets no other module.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from lifecycle.core.canonical import sha256, sha256_file
from lifecycle.core.class_text import ClassText, Parameter, parse
from lifecycle.core.errors import LifecycleError, UsageError, suggest


@dataclass(frozen=True)
class Reference:
    """``FILE.py:CLASS`` or ``package.module:CLASS``.

    Raises:
        UsageError: the text has no colon, or nothing on one side of it.
    """

    text: str

    def __post_init__(self) -> None:
        if not self.module or not self.name:
            name = self.text if self.text.endswith(".py") else "model.py"
            raise UsageError(
                f"'{self.text}' names no class: expected FILE.py:CLASS or package.module:CLASS",
                hint=f"Write the class behind a colon, as in {name}:Net.",
            )

    @property
    def module(self) -> str:
        """What stands before the colon."""
        return self.text.rpartition(":")[0]

    @property
    def name(self) -> str:
        """The class."""
        return self.text.rpartition(":")[2]

    def file(self, root: Path) -> Path | None:
        """The file below `root`, or None for an installed package."""
        if self.module.endswith(".py"):
            return root / self.module
        return _module_file(root, self.module)

    def check(self, root: Path, arguments: Iterable[str] = ()) -> None:
        """Make sure, without running anything, that the class is there and takes these arguments.

        Raises:
            UsageError: no such file, class or argument, or the file is not Python; says where and what is.
        """
        known = self.parameters(root)
        for argument in arguments if known is not None else ():
            if argument not in (known or {}):
                raise UsageError(
                    f"{self.text} takes no argument '{argument}': {suggest(argument, known or {})}"
                )

    def parameters(self, root: Path) -> dict[str, Parameter] | None:
        """The arguments of the class; None where its text does not tell.

        Raises:
            UsageError: as `check`.
        """
        text = self.text_of(root)
        return None if text is None else text.parameters()

    def text_of(self, root: Path) -> ClassText | None:
        """The text of the class; None for one of an installed package.

        Raises:
            UsageError: as `check`.
        """
        path = self._inside(root)
        if path is None:
            if importlib.util.find_spec(self.module.partition(".")[0]) is None:
                raise UsageError(f"'{self.text}': no module '{self.module}' below {root} or installed")
            return None
        return ClassText(path, self.name)

    def summary(self, root: Path) -> str:
        """The first paragraph of what the class says of itself, read as text; empty where it says nothing."""
        try:
            text = self.text_of(root)
        except UsageError:
            return ""
        return "" if text is None else text.summary

    def load(self, root: Path) -> type:
        """Import the module and return the class."""
        path = self._inside(root)
        try:
            module = importlib.import_module(self.module) if path is None else _import(root.resolve(), path)
        except ModuleNotFoundError as error:
            raise UsageError(f"'{self.text}': no module '{error.name}' below {root} or installed") from error
        found = getattr(module, self.name, None)
        if not isinstance(found, type):
            classes = [name for name, value in vars(module).items() if isinstance(value, type)]
            raise UsageError(f"{self.module} defines no class '{self.name}': {suggest(self.name, classes)}")
        return found

    def sources(self, root: Path) -> dict[str, Path]:
        """The file and every file that it imports from the project, by its path below `root`."""
        start = self._inside(root)
        return {} if start is None else _closure(root.resolve(), start)

    def _inside(self, root: Path) -> Path | None:
        """As `file`; absolute, without ``..``, and below `root`, for nothing else goes into a snapshot."""
        path = self.file(root.resolve())
        if path is None:
            return None
        plain = Path(os.path.normpath(path))  # a link stays a link: its name, not its target, is imported
        if not plain.is_relative_to(root.resolve()):
            raise UsageError(f"'{self.text}' lies outside {root}: move it there, or install it as a package")
        return plain


def sources_digest(root: Path, *references: Reference) -> str:
    """SHA-256 over the sources of several references: paths below `root` and contents.

    Of a class in an installed package, every source of that package counts.
    """
    files: dict[str, Path] = {}
    for reference in references:
        files |= reference.sources(root) or _package_files(reference.module.partition(".")[0])
    return sha256("\n".join(f"{name} {sha256_file(path)}" for name, path in sorted(files.items())).encode())


def _package_files(package: str) -> dict[str, Path]:
    """Every source of an installed package, found without running it."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return {}
    if not spec.submodule_search_locations:
        return {Path(spec.origin).name: Path(spec.origin)}
    folders = [Path(folder) for folder in spec.submodule_search_locations]
    return {f"{package}/{p.relative_to(f).as_posix()}": p for f in folders for p in sorted(f.rglob("*.py"))}


def _module_file(root: Path, module: str) -> Path | None:
    stem = root.joinpath(*module.split("."))
    for path in (stem.with_suffix(".py"), stem / "__init__.py"):
        if path.is_file():
            return path
    return None


def _closure(root: Path, start: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    waiting = [start]
    while waiting:
        path = waiting.pop()
        name = path.relative_to(root).as_posix()
        if name not in found:
            waiting.extend(_imported_files(root, path))
            found[name] = path
    return found


def _imported_files(root: Path, path: Path) -> Iterator[Path]:
    package = path.relative_to(root).parent.parts
    for node in ast.walk(parse(path)):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            modules = [base, *(f"{base}.{alias.name}".strip(".") for alias in node.names)]
        for module in modules:
            for depth in range(1, module.count(".") + 2):
                # Importing a.b.c runs a/__init__.py and a/b/__init__.py too.
                found = _module_file(root, ".".join(module.split(".")[:depth])) if module else None
                if found is not None:
                    yield found


def _import(root: Path, path: Path) -> ModuleType:
    """Import a project's file with its folder first on the path, under a name that only this content has."""
    files = _closure(root, path)
    content = sha256(
        "\n".join(f"{name} {sha256_file(file)}" for name, file in sorted(files.items())).encode()
    )
    name = f"_project_{content[:16]}_{sha256(str(root).encode())[:8]}_{path.stem}"
    name = ".".join((*path.relative_to(root).parent.parts, name))  # its package, for relative imports
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _project_first(root, files):
            spec.loader.exec_module(module)
    except LifecycleError:
        del sys.modules[name]
        raise
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        lacking = isinstance(error, ModuleNotFoundError)
        raise UsageError(
            f"{path} cannot be imported: {type(error).__name__}: {error}",
            hint="Correct its name, or install it beside lifecycle." if lacking else "",
        ) from error
    return module


def place_in_project(error: BaseException) -> str:
    """Where in a project's own file an exception passed last: ``data.py:12, in setup``; empty if nowhere."""
    place, step = "", error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        if step.tb_frame.f_globals.get("__name__", "").rpartition(".")[2].startswith("_project_"):
            place = f"{Path(code.co_filename).name}:{step.tb_lineno}, in {code.co_name}"
        step = step.tb_next
    return place


@contextmanager
def _project_first(root: Path, files: dict[str, Path]) -> Iterator[None]:
    """Let the project's files import each other by their plain names, for as long as the import takes."""
    own = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in files}
    # Packages too: one without an __init__.py is no file, and would keep the modules of another project.
    own |= {".".join(name.split(".")[:depth]) for name in own for depth in range(1, name.count(".") + 1)}
    aside = {name: sys.modules.pop(name) for name in own if name in sys.modules}
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    # Bytecode written beside the sources would be a file too many in a sealed artifact.
    bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = bytecode
        sys.path.remove(str(root))
        for name in own:
            sys.modules.pop(name, None)
        sys.modules.update(aside)
