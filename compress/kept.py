"""Layers that are to stay in float, by the names that users give them."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn
from torch.fx import Node

from lifecycle.core.errors import UsageError, suggest


def kept_modules(module: nn.Module, patterns: Sequence[str]) -> frozenset[str]:
    """Names of the modules that patterns match, and of all their parts.

    Args:
        module: Whose parts they are.
        patterns: Names or glob patterns, ``("head", "blocks.0.*")``.

    Raises:
        UsageError: a pattern matches none.
    """
    names = [name for name, _ in module.named_modules() if name]
    found: set[str] = set()
    for pattern in patterns:
        matches = [name for name in names if fnmatchcase(name, pattern)]
        if not matches:
            raise UsageError(f"keep_float: '{pattern}' matches no module; {suggest(pattern, names)}")
        found.update(name for name in names for match in matches if f"{name}.".startswith(f"{match}."))
    return frozenset(found)


def place(node: Node) -> str:
    """The module in whose forward a node is computed, by name; empty for the outermost and where unknown."""
    stack = node.meta.get("nn_module_stack")
    if not stack:
        return ""
    name = list(stack.values())[-1][0]
    return str(name)
