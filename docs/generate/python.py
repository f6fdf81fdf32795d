"""Pages of Python modules: their public names, from docstrings and signatures."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from types import ModuleType

from docs.generate.markdown import docstring, first_line, table


@dataclass(frozen=True, kw_only=True)
class Module:
    """One page.

    Attributes:
        file: Its name, without ``.md``.
        title: Its heading.
        modules: What is on it; names of a module are those of its ``__all__``, else those that it defines.
    """

    file: str
    title: str
    modules: tuple[str, ...]


def _page(name: str) -> Module:
    return Module(file=name, title=f"lifecycle.{name}", modules=(f"lifecycle.{name}",))


MODULES = (
    Module(file="lifecycle", title="lifecycle", modules=("lifecycle",)),
    *map(_page, ("callbacks", "loggers", "profilers", "strategies", "accelerators", "plugins")),
    *map(_page, ("trainer", "tuner", "utilities")),
    Module(
        file="core",
        title="lifecycle.core: the words that stages share",
        modules=tuple(
            f"lifecycle.core.{name}"
            for name in (
                "artifact",
                "stage",
                "budget",
                "threshold",
                "verdict",
                "progress",
                "plugins",
                "errors",
            )
        ),
    ),
    Module(
        file="compress",
        title="lifecycle.compress: pruning and quantization as functions",
        modules=tuple(
            f"lifecycle.compress.{name}"
            for name in (
                "channels",
                "cost",
                "importance",
                "options",
                "restore",
                "masks",
                "quantizer",
                "calibration",
            )
        ),
    ),
    Module(
        file="export",
        title="lifecycle.export: formats, and running a bundle",
        modules=tuple(f"lifecycle.export.{name}" for name in ("formats", "settings", "runtime", "bundle")),
    ),
    Module(
        file="gates",
        title="lifecycle.gates: what a gate is given",
        modules=("lifecycle.gates.case",),
    ),
)


def page(module: Module) -> str:
    """Every name of its modules."""
    parts = []
    for name in module.modules:
        loaded = import_module(name)
        if len(module.modules) > 1:
            parts.append(f"## {name}\n")
        parts.append(docstring(loaded.__doc__) + "\n")
        names = public(loaded)
        parts.append(table(("name", ""), [(_linked(loaded, each), _said(loaded, each)) for each in names]))
        shown = [value for each in names if inspect.isclass(value := getattr(loaded, each))]
        for each in names:
            parts += list(_entry(loaded, each, shown))
    return "\n".join(parts)


def public(module: ModuleType) -> list[str]:
    """What a module offers."""
    offered = getattr(module, "__all__", None)
    if offered is not None:
        return sorted(offered, key=str.lower)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and getattr(value, "__module__", None) == module.__name__
        and (inspect.isclass(value) or inspect.isfunction(value))
    ]


def _linked(module: ModuleType, name: str) -> str:
    return f"[`{name}`](#{name.lower()})" if _has_entry(getattr(module, name)) else f"`{name}`"


def _has_entry(value: object) -> bool:
    return inspect.isclass(value) or inspect.isroutine(value)


def _said(module: ModuleType, name: str) -> str:
    value = getattr(module, name)
    if not (inspect.isclass(value) or callable(value)):
        return "a type for annotations"
    if str(getattr(value, "__name__", name)) != name:
        return f"another name of `{value.__name__}`"
    return first_line(value.__doc__)


def _entry(module: ModuleType, name: str, shown: list[type]) -> Iterator[str]:
    value = getattr(module, name)
    if not _has_entry(value):
        return
    yield f"### {name}\n"
    if value.__name__ != name:
        yield f"Another name of `{value.__name__}`.\n"
        return
    if inspect.isclass(value) and issubclass(value, Enum):
        yield docstring(value.__doc__) + "\n"
        yield table(("member", "value"), [(f"`{each.name}`", f"`{each.value!r}`") for each in value])
        return
    yield f"```text\n{name}{signature(value)}\n```\n"
    yield docstring(_own_doc(value)) + "\n"
    if inspect.isclass(value):
        above = {name for base in shown if base in value.__mro__[1:] for name in dir(base)}
        rows = [row for name, *row in _members(value) if name not in above]
        if rows:
            yield table(("", ""), rows)


def _own_doc(value: object) -> str | None:
    """Not what a class inherits, nor what a dataclass makes up; but the arguments of an inherited `__init__`."""
    doc = vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__
    if doc is None or re.match(r"^\w+\(", doc):
        return None
    if inspect.isclass(value) and "__init__" not in vars(value) and "Args:" not in doc:
        _, found, arguments = (inspect.getdoc(_makes(value)) or "").partition("\nArgs:\n")
        return inspect.cleandoc(doc) + f"\n\n{found.strip()}\n{arguments}" if found else doc
    return doc


def _makes(cls: type) -> type:
    """The class whose `__init__` makes it."""
    return next(each for each in cls.__mro__ if "__init__" in vars(each))


def _members(cls: type) -> Iterator[tuple[str, str, str]]:
    """Methods and properties of our own classes, in the order in which they are looked up: name, call, text."""
    seen: set[str] = set()
    for owner in cls.__mro__:
        if not owner.__module__.startswith("lifecycle."):
            continue
        for name, value in vars(owner).items():
            function = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
            known = inspect.isfunction(function) or isinstance(value, property)
            if name.startswith("_") or name in seen or not known:
                continue
            seen.add(name)
            if isinstance(value, property):
                yield name, f"`{name}`", first_line(value.__doc__)
            else:
                shown = signature(function, short=True)
                yield name, f"`{name}{shown}`", first_line(function.__doc__)


class _Bare(str):
    """An annotation that is shown without quotation marks."""

    def __repr__(self) -> str:
        return str(self)


def signature(value: object, *, short: bool = False) -> str:
    """How it is called, without what differs from run to run; short: names and defaults alone."""
    try:
        found = inspect.signature(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return "(…)"
    parameters = [
        each.replace(annotation=_shown(each.annotation, short)) for each in found.parameters.values()
    ]
    if short and parameters and parameters[0].name in ("self", "cls"):
        parameters = parameters[1:]
    found = found.replace(parameters=parameters, return_annotation=_shown(found.return_annotation, short))
    text = re.sub(r"<[^<>]*(?:<[^<>]*>[^<>]*)*>", "…", str(found))
    if len(text) > 100 and not short:
        text = re.sub(r", (?=[*\w]+[:=]|\*, |\*\*|/)", ",\n    ", text).replace("(", "(\n    ", 1)
    return text


def _shown(annotation: object, short: bool) -> object:
    if short or annotation is inspect.Parameter.empty:
        return inspect.Parameter.empty
    return _Bare(annotation) if isinstance(annotation, str) else annotation
