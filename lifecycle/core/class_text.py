"""What the text of a user's class tells, without running it: its arguments and its methods."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any, Literal, cast

from lifecycle.core.errors import UsageError, suggest

# Classes of ours and of Lightning that take no arguments of their own, and define nothing of the user's.
_BASES = ("Module", "LightningModule", "DataModule", "LightningDataModule", "object")
_PLAIN: dict[str, object] = {
    "int": int,
    "float": float,
    "bool": bool,
    "str": str,
    "list": list,
    "dict": dict,
    "tuple": tuple,
    "None": None,
}


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One argument of ``__init__``.

    Attributes:
        annotation: As it is written; empty for none.
        required: Whether it has no default.
        number: Whether its default is a number.
        type: What its value must be; None where the annotation says more than plain data can be.
    """

    annotation: str
    required: bool
    number: bool = False
    type: object = None


class ClassText:
    """A class of a file, with those of the same file that it inherits from.

    Args:
        path: The file.
        name: The class.

    Raises:
        UsageError: no such file or class, or the file is not Python; says where and what is.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._tree = parse(path)
        self._path = path
        classes = {node.name: node for node in self._tree.body if isinstance(node, ast.ClassDef)}
        if name not in classes:
            raise UsageError(f"{path.name} defines no class '{name}': {suggest(name, classes)}")
        self._line = [classes[name]]
        while (above := self._above(classes)) is not None:
            self._line.append(above)

    def _above(self, classes: Mapping[str, ast.ClassDef]) -> ast.ClassDef | None:
        last = self._line[-1]
        named = _name(last.bases[0]) if len(last.bases) == 1 else ""
        found = classes.get(named)
        return None if found in self._line else found

    @property
    def _whole(self) -> bool:
        """Whether all that the class inherits is known: nothing comes from a file that is not read."""
        last = self._line[-1]
        plain = all(not node.decorator_list and not node.keywords for node in self._line)
        return plain and (not last.bases or (len(last.bases) == 1 and _name(last.bases[0]) in _BASES))

    @property
    def summary(self) -> str:
        """The first paragraph of what it says of itself; empty where it says nothing."""
        return " ".join((ast.get_docstring(self._line[0]) or "").partition("\n\n")[0].split())

    def parameters(self) -> dict[str, Parameter] | None:
        """The arguments by name; None where it takes any, or where the text does not tell."""
        for node in self._line:
            for item in node.body:
                if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                    return None if item.args.kwarg is not None else dict(_parameters(item.args))
            if node.decorator_list:
                return None  # a dataclass, say
        return {} if self._whole else None

    def defines(self, method: str) -> bool | None:
        """Whether it has a method; None where the text does not tell."""
        for node in self._line:
            for item in node.body:
                targets = item.targets if isinstance(item, ast.Assign) else ()
                if getattr(item, "name", "") == method or any(_name(each) == method for each in targets):
                    return True
        set_later = re.search(rf"\.{method}\s*=|setattr\(|__getattr__", self._path.read_text())
        return False if self._whole and self._line[-1].bases and not set_later else None


def parse(path: Path) -> ast.Module:
    """The syntax tree of a file.

    Raises:
        UsageError: there is no such file, or it is not Python.
    """
    if not path.is_file():
        beside = [p.name for p in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise UsageError(f"no file {path}: {suggest(path.name, beside)}")
    try:
        return ast.parse(path.read_bytes(), filename=str(path))
    except SyntaxError as error:
        raise UsageError(f"{path}:{error.lineno or 1}: not Python: {error.msg}") from None


def _parameters(given: ast.arguments) -> Iterable[tuple[str, Parameter]]:
    placed = [*given.posonlyargs, *given.args]
    without = len(placed) - len(given.defaults)
    defaults: Sequence[ast.expr | None] = [*[None] * without, *given.defaults, *given.kw_defaults]
    for arg, default in list(zip([*placed, *given.kwonlyargs], defaults, strict=True))[1:]:
        annotation = arg.annotation
        type_ = None if annotation is None else plain_type(annotation)
        if type_ is not None and isinstance(default, ast.Constant) and default.value is None:
            type_ = cast("Any", type_) | None
        quoted = isinstance(annotation, ast.Constant) and isinstance(annotation.value, str)
        written = "" if annotation is None else ast.unparse(annotation).strip("'\"" if quoted else "")
        value = default.value if isinstance(default, ast.Constant) else None
        number = isinstance(value, int | float) and not isinstance(value, bool)
        yield arg.arg, Parameter(annotation=written, required=default is None, number=number, type=type_)


def plain_type(annotation: ast.expr) -> object:
    """The type that an annotation names, if it is one of plain data; else None.

    >>> plain_type(ast.parse("list[int] | None", mode="eval").body)
    list[int] | None
    >>> plain_type(ast.parse("torch.device", mode="eval").body) is None
    True
    """
    try:
        return _type(annotation)
    except (LookupError, SyntaxError, TypeError):
        return None


def _type(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant):
        return None if node.value is None else _type(ast.parse(str(node.value), mode="eval").body)
    if isinstance(node, ast.BinOp):
        return _type(node.left) | _type(node.right)
    if not isinstance(node, ast.Subscript):
        return _PLAIN[_name(node)]
    name = _name(node.value)
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if name == "Literal":
        return Literal[tuple(ast.literal_eval(part) for part in parts)]
    if name == "Optional":
        return _type(parts[0]) | None
    if name == "Union":
        return reduce(or_, map(_type, parts))
    ellipsis = [
        ... if isinstance(part, ast.Constant) and part.value is ... else _type(part) for part in parts
    ]
    outer: Any = {"Sequence": list, "Mapping": dict}.get(name) or _PLAIN[name.lower()]
    return outer[tuple(ellipsis)]


def _name(node: ast.expr) -> str:
    """The last part of a dotted name; empty for anything else."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
