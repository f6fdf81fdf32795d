"""What was going on when a step failed: the layers at work, and the operations before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import CodeType

from torch import Tensor, nn

_RESHAPES = ("flatten", "view", "reshape")


@dataclass(frozen=True, eq=False)
class Layer:
    """A module at work.

    Attributes:
        name: As in ``named_modules``; empty for the outermost, and for one that is not registered there.
        module: Itself.
        arguments: What it was called with.
    """

    name: str
    module: nn.Module
    arguments: tuple[object, ...] = ()

    def __str__(self) -> str:
        kind = type(self.module).__name__
        return f"{self.name} ({kind})" if self.name else kind

    @property
    def given(self) -> Tensor | None:
        """The first tensor that it was called with."""
        return next((item for item in self.arguments if isinstance(item, Tensor)), None)


@dataclass(frozen=True, kw_only=True, eq=False)
class Operation:
    """A call of torch.

    Attributes:
        name: Of the function or method.
        layer: The innermost module at work.
        inputs: Shapes of the tensors that it was called with.
        makers: For each of them the index of the operation that made it, if one did.
        output: Shape of the (first) tensor that it gave.
        line: The user's code and line number, where that is of interest.
    """

    name: str
    layer: Layer | None
    inputs: tuple[tuple[int, ...], ...]
    makers: tuple[int | None, ...]
    output: tuple[int, ...] = ()
    line: tuple[CodeType, int] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """A failed step.

    Attributes:
        error: What it raised.
        root: The user's module.
        layers: The modules at work, from the outermost to the innermost.
        failed: The operation that raised the error, if one did.
        arguments: What that was called with.
        keywords: Likewise, by name.
        operations: Those before, in order.
        makers: The index of the operation that made a tensor, by its identity.
        returned: Which layer returned what, where that was no tensor.
    """

    error: Exception
    root: nn.Module
    layers: Sequence[Layer] = ()
    failed: Operation | None = None
    arguments: tuple[object, ...] = ()
    keywords: Mapping[str, object] = field(default_factory=dict)
    operations: Sequence[Operation] = ()
    makers: Mapping[int, int] = field(default_factory=dict)
    returned: Sequence[tuple[Layer, object]] = ()

    @property
    def layer(self) -> Layer:
        """The innermost module at work."""
        return self.layers[-1] if self.layers else Layer("", self.root)

    @property
    def place(self) -> str:
        """Where the error is, for people."""
        return str(self.layer)

    def failed_in(self, *names: str) -> bool:
        """Whether an operation of these names failed, or none that is known."""
        return self.failed is None or self.failed.name in names

    def argument(self, position: int, name: str) -> object:
        """An argument of the failed operation."""
        return self.arguments[position] if position < len(self.arguments) else self.keywords.get(name)

    def history(self, tensor: Tensor) -> Iterator[Operation]:
        """The operations that made a tensor, the latest first; of several inputs the first is followed."""
        index = self.makers.get(id(tensor))
        while index is not None:
            operation = self.operations[index]
            yield operation
            index = next(iter(operation.makers), None)

    def flattening(self, tensor: Tensor) -> Operation | None:
        """What merged axes into those that a tensor has, if nothing but layers that keep shapes followed."""
        for operation in self.history(tensor):
            if not operation.inputs or operation.output != tuple(tensor.shape):
                return None
            if operation.name in _RESHAPES and len(operation.inputs[0]) > len(operation.output):
                return operation
            if operation.inputs[0] != operation.output:
                return None
        return None

    def folding(self, before: int, after: int) -> Operation | None:
        """The reshape that changed the size of the first axis."""
        for operation in reversed(self.operations):
            if operation.name in _RESHAPES and operation.inputs and operation.output:
                given = operation.inputs[0]
                if given and given[0] == before and operation.output[0] == after:
                    return operation
        return None

    def after(self, operation: Operation) -> Iterator[Operation]:
        """The operations that followed another."""
        found = False
        for other in self.operations:
            if found:
                yield other
            found = found or other is operation
