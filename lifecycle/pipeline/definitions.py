"""What a source file defines, each function and class with a hash of its own, so that a change can be named.

Comments, layout and docstrings cannot change a result and do not count, except where the file looks at its
own text (``__doc__``, ``inspect``): then every byte does. Type comments count: TorchScript reads them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from lifecycle.core.canonical import JSON, canonical_json, sha256

TEXT = "its text"  # of a file that looks at itself, or is no Python of this version
ORDER = "the order of its definitions"
TOP = "module level"
_LOOKS_AT_ITSELF = (b"__doc__", b"inspect", b"getdoc")
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def definitions(path: Path) -> dict[str, str]:
    r"""SHA-256 of every definition by its qualified name, of what stands outside them, and of their order.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "model.py"
    ...     _ = path.write_text("x = 1\nclass Net:\n    def forward(self): return 1  # one\n")
    ...     list(definitions(path))
    ['module level', 'Net', 'Net.forward', 'the order of its definitions']
    """
    text = path.read_bytes()
    if any(word in text for word in _LOOKS_AT_ITSELF):
        return {TEXT: sha256(text)}
    try:
        tree = ast.parse(text, filename=str(path), type_comments=True)
    except (SyntaxError, ValueError):
        return {TEXT: sha256(text)}
    bare = _NoDocstrings().visit(tree)
    found: dict[str, str] = {}
    order: list[JSON] = []
    for name, content in _parts(bare, ""):
        order.append(name)
        # One name may be defined twice: as a property and its setter, say.
        found[name] = sha256((found.get(name, "") + content).encode())
    found[ORDER] = sha256(canonical_json(order))
    return found


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """What differs between two versions of a file, in words.

    >>> changes({"Net.forward": "1", ORDER: "1"}, {"Net.forward": "2", "Net.extra": "3", ORDER: "2"})
    ['Net.extra added', 'Net.forward changed']
    """
    if TEXT in before.keys() | after.keys():
        return [f"{TEXT} changed"] if before != after else []
    found = []
    for name in sorted(before.keys() | after.keys()):
        if name == ORDER or before.get(name) == after.get(name):
            continue
        above = name.rpartition(".")[0]
        if above and (above in before) != (above in after):
            continue  # it came or went with its class
        verb = "changed" if name in before and name in after else "added" if name in after else "removed"
        found.append(f"{name} {verb}")
    if not found and before.get(ORDER) != after.get(ORDER):
        found.append(f"{ORDER} changed")
    return found


class _NoDocstrings(ast.NodeTransformer):
    """Takes out what stands first in a body and is only text."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, ast.Module | _Definition) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
        return node


def _parts(node: ast.Module | ast.ClassDef, above: str) -> Iterator[tuple[str, str]]:
    """Definitions of a body with their content, and what stands between them under the name of the body."""
    own = above or TOP
    head = ast.dump(ast.ClassDef(**{**vars(node), "body": []})) if isinstance(node, ast.ClassDef) else ""
    yield own, head
    for statement in node.body:
        name = f"{above}.{statement.name}" if above and isinstance(statement, _Definition) else ""
        if isinstance(statement, ast.ClassDef):
            yield from _parts(statement, name or statement.name)
        elif isinstance(statement, _Definition):
            yield name or statement.name, ast.dump(statement)
        else:
            yield own, ast.dump(statement)
