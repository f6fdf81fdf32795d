"""Repeating a failed step while every layer and every operation is written down."""

from __future__ import annotations

import sys
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import CodeType, FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode

from lifecycle.train.diagnose.scene import Layer, Operation, Scene

_OURS = ("torch.", "lifecycle.train.diagnose")


def witness(module: nn.Module, again: Callable[[], object]) -> Scene | None:
    """Repeat a step that failed.

    Args:
        module: The user's.
        again: Runs the step.

    Returns:
        What was going on when it failed; None if it did not.
    """
    record = _Record(module)
    try:
        with warnings.catch_warnings(), _eagerly(), record.hooked(), record:
            warnings.simplefilter("ignore")
            again()
    except Exception as error:
        return record.scene(error)
    return None


class _Record(TorchFunctionMode):
    """Sees every call of torch; tensors are referred to weakly, so that none is kept for longer."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.root = module
        self.names = {id(part): name.replace("_orig_mod.", "") for name, part in module.named_modules()}
        self.layers: list[Layer] = []
        self.operations: list[Operation] = []
        self.made: dict[int, tuple[weakref.ref[Tensor], int]] = {}
        self.returned: list[tuple[Layer, object]] = []
        self.raised: tuple[Exception, Operation, tuple[object, ...], Mapping[str, object]] | None = None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        operation = self._operation(getattr(func, "__name__", str(func)), args, kwargs)
        try:
            output = func(*args, **kwargs)
        except Exception as error:
            self.raised = error, operation, args, kwargs
            raise
        self._keep(operation, output)
        return output

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """Notice modules as they begin and end, registered ones or not."""
        handles = [register_module_forward_pre_hook(self._enter), register_module_forward_hook(self._leave)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def scene(self, error: Exception) -> Scene:
        """What was going on when an error was raised."""
        makers = {key: index for key, (reference, index) in self.made.items() if reference() is not None}
        scene = Scene(
            error=error,
            root=self.root,
            layers=self.layers,
            operations=self.operations,
            makers=makers,
            returned=self.returned,
        )
        if self.raised is None or self.raised[0] is not error:
            return scene
        _, failed, arguments, keywords = self.raised
        return Scene(**{**vars(scene), "failed": failed, "arguments": arguments, "keywords": keywords})

    def _enter(self, module: nn.Module, arguments: Any) -> None:
        name = self.names.get(id(module), "")
        self.layers.append(Layer(name, module, arguments if isinstance(arguments, tuple) else (arguments,)))

    def _leave(self, module: nn.Module, arguments: Any, output: object) -> None:
        while self.layers:
            layer = self.layers.pop()
            # Layers above it are left over from errors that the user's code caught.
            if layer.module is module:
                if not isinstance(output, Tensor):
                    self.returned.append((layer, output))
                return

    def _operation(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Operation:
        tensors = [item for item in (*args, *kwargs.values()) if isinstance(item, Tensor)]
        return Operation(
            name=name,
            layer=self.layers[-1] if self.layers else None,
            inputs=tuple(tuple(tensor.shape) for tensor in tensors),
            makers=tuple(self._maker(tensor) for tensor in tensors),
            line=_line() if name in ("view", "reshape", "flatten") else None,
        )

    def _maker(self, tensor: Tensor) -> int | None:
        reference, index = self.made.get(id(tensor), (None, None))
        return index if reference is not None and reference() is tensor else None

    def _keep(self, operation: Operation, output: object) -> None:
        outputs = output if isinstance(output, tuple | list) else (output,)
        tensors = [item for item in outputs if isinstance(item, Tensor)]
        if not tensors:
            return
        for tensor in tensors:
            self.made[id(tensor)] = weakref.ref(tensor), len(self.operations)
        self.operations.append(Operation(**{**vars(operation), "output": tuple(tensors[0].shape)}))


def _line() -> tuple[CodeType, int] | None:
    """The innermost code at work that is not torch's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if not str(frame.f_globals.get("__name__", "")).startswith(_OURS):
            return frame.f_code, frame.f_lineno
        frame = frame.f_back
    return None


def _eagerly() -> AbstractContextManager[object]:
    """Without compilation, which would hide the layers; nothing was compiled if dynamo is not loaded."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()
