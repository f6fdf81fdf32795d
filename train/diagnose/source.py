"""What the user wrote: the call that made a layer, as it stands in the source of a class."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import CodeType, FunctionType

from torch import nn

from lifecycle.train.diagnose.scene import Layer

# Recurrent layers take ``*args``; these are their arguments, with their defaults.
_REQUIRED = inspect.Parameter.empty
_RECURRENT: Mapping[str, object] = {
    "input_size": _REQUIRED,
    "hidden_size": _REQUIRED,
    "num_layers": 1,
    "bias": True,
    "batch_first": False,
    "dropout": 0.0,
    "bidirectional": False,
}
_TIGHT = re.compile(r"(?<=[\w)\]]) (\*\*|\*|//) (?=[\w(\[-])")


@dataclass(frozen=True)
class Written:
    """The call that makes a layer.

    Attributes:
        target: What it is assigned to; empty for a layer that is no attribute.
        call: The call, as written or, where that was not found, as it might have been.
        parameters: The names of the class's positional arguments.
    """

    target: str
    call: ast.Call
    parameters: tuple[str, ...]

    def __str__(self) -> str:
        return unparsed(self.call)

    def argument(self, name: str, value: int) -> str:
        """One argument as written; its value where that was not found."""
        return unparsed(node) if (node := self.arguments().get(name)) is not None else str(value)

    def arguments(self) -> dict[str, ast.expr]:
        """Arguments by name."""
        found = dict(zip(self.parameters, self.call.args, strict=False))
        return found | {keyword.arg: keyword.value for keyword in self.call.keywords if keyword.arg}

    def with_(self, **changed: str) -> str:
        """An assignment of the same call with other arguments."""
        call = ast.parse(unparsed(self.call), mode="eval").body
        assert isinstance(call, ast.Call)
        for name, text in changed.items():
            value = ast.parse(text, mode="eval").body
            position = self.parameters.index(name)
            if position < len(call.args):
                call.args[position] = value
                continue
            keyword = next((keyword for keyword in call.keywords if keyword.arg == name), None)
            if keyword is None:
                call.keywords.append(ast.keyword(name, value))
            else:
                keyword.value = value
        return f"{self.target} = {unparsed(call)}" if self.target else unparsed(call)


def written(layer: Layer, root: nn.Module) -> Written:
    """The call that made a layer.

    It is looked for in the methods of the class that owns the layer, directly or in a `Sequential`; a call
    whose numbers are not those of the layer is another's. If none is left it is made up from the layer.
    """
    parameters = _parameters(layer.module)
    if not layer.name:
        return Written("", _made_up(layer.module), parameters)
    owner, path = _owner(layer.name, root)
    target = "self" + "".join(f"[{part}]" if part.isdecimal() else f".{part}" for part in path)
    calls = []
    for expression in _assigned(type(owner), path[0]):
        call = _part(expression, path[1:])
        if isinstance(call, ast.Call) and _last_name(call.func) == type(layer.module).__name__:
            candidate = Written(target, call, parameters)
            if _agrees(candidate, layer.module):
                calls.append(candidate)
    if len({str(call) for call in calls}) == 1:
        return calls[0]
    return Written(target, _made_up(layer.module), parameters)


def expression_at(line: tuple[CodeType, int] | None, method: str) -> ast.Call | None:
    """The call of a method on a line of code, if there is exactly one."""
    if line is None:
        return None
    code, number = line
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(code)))
    except (OSError, SyntaxError, TypeError):
        return None
    at = number - code.co_firstlineno + 1
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and node.lineno <= at <= (node.end_lineno or at)
        if _last_name(node.func) == method
    ]
    return calls[0] if len(calls) == 1 else None


def unparsed(node: ast.AST) -> str:
    """The source of an expression, products without spaces."""
    return _TIGHT.sub(r"\1", ast.unparse(node))


def _owner(name: str, root: nn.Module) -> tuple[nn.Module, list[str]]:
    """The innermost module around a layer whose class is not torch's, and the way from there."""
    path = name.split(".")
    for length in range(len(path) - 1, 0, -1):
        owner = root.get_submodule(".".join(path[:length]))
        if not type(owner).__module__.startswith("torch.nn."):
            return owner, path[length:]
    return root, path


def _assigned(owner: type, attribute: str) -> Iterator[ast.expr]:
    """Everything that the methods of a class assign to an attribute."""
    for cls in owner.__mro__:
        for function in vars(cls).values():
            if not isinstance(function, FunctionType) or cls.__module__.startswith(("torch.", "lifecycle.")):
                continue
            try:
                tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
            except (OSError, SyntaxError, TypeError):
                continue
            for node in ast.walk(tree):
                if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    if any(isinstance(to, ast.Attribute) and to.attr == attribute for to in targets):
                        yield node.value


def _part(expression: ast.expr, path: list[str]) -> ast.expr | None:
    """What stands in a `Sequential`, a `ModuleList` or a `ModuleDict` under the names of a path."""
    for name in path:
        items: list[ast.expr] = []
        if isinstance(expression, ast.Call):
            items = expression.args
        if len(items) == 1 and isinstance(items[0], ast.Call) and _last_name(items[0].func) == "OrderedDict":
            items = items[0].args
        if len(items) == 1 and isinstance(items[0], ast.List | ast.Tuple):
            items = items[0].elts
        if len(items) == 1 and isinstance(items[0], ast.Dict):
            pairs = zip(items[0].keys, items[0].values, strict=True)
            items = [ast.Tuple([key, value]) for key, value in pairs if key is not None]
        found = None
        if any(isinstance(item, ast.Starred) for item in items):
            return None
        for index, item in enumerate(items):
            if isinstance(item, ast.Tuple) and len(item.elts) == 2:
                key, item = item.elts
                matches = isinstance(key, ast.Constant) and key.value == name
            else:
                matches = name == str(index)
            found = item if matches else found
        if found is None:
            return None
        expression = found
    return expression


def _agrees(candidate: Written, module: nn.Module) -> bool:
    """Whether the plain numbers in a call are those of a module, and no arguments are hidden in a ``*``."""
    if any(isinstance(node, ast.Starred) for node in candidate.call.args):
        return False
    if any(keyword.arg is None for keyword in candidate.call.keywords):
        return False
    numbers = {name: constant(node) for name, node in candidate.arguments().items()}
    return all(
        value is None or not isinstance(own := getattr(module, name, None), int) or own == value
        for name, value in numbers.items()
    )


def constant(node: ast.expr) -> int | None:
    """The value of an expression of whole numbers, None for any other."""
    if isinstance(node, ast.Constant):
        return node.value if type(node.value) is int else None
    if isinstance(node, ast.BinOp):
        left, right = constant(node.left), constant(node.right)
        if left is not None and right is not None:
            if isinstance(node.op, ast.Mult):
                return left * right
            if isinstance(node.op, ast.Add):
                return left + right
            if isinstance(node.op, ast.Sub):
                return left - right
            if isinstance(node.op, ast.FloorDiv) and right:
                return left // right
    return None


def _parameters(module: nn.Module) -> tuple[str, ...]:
    return tuple(_defaults(module))


def _defaults(module: nn.Module) -> Mapping[str, object]:
    """The arguments of a module's class and their defaults."""
    if isinstance(module, nn.RNNBase):
        return _RECURRENT
    parameters = inspect.signature(type(module)).parameters
    return {name: parameter.default for name, parameter in parameters.items()}


def _made_up(module: nn.Module) -> ast.Call:
    """A call that makes such a module: arguments without a default, and those that differ from it."""
    arguments: list[str] = []
    for name, default in _defaults(module).items():
        value = getattr(module, name, None)
        if isinstance(value, tuple) and len(set(value)) == 1:
            value = value[0]
        if name == "bias":
            arguments += ["bias=False"] if value is None or value is False else []
        elif default is _REQUIRED:
            arguments.append(repr(value))
        elif isinstance(value, int | float | str) and value != default:
            arguments.append(f"{name}={value!r}")
    call = ast.parse(f"nn.{type(module).__name__}({', '.join(arguments)})", mode="eval").body
    assert isinstance(call, ast.Call)
    return call


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
