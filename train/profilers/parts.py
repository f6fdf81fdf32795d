"""Names of a module's parts in a trace."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn
from torch.autograd.profiler import record_function
from torch.utils.hooks import RemovableHandle


class NamedParts:
    """Has the forward of every part of a module appear in traces, as ``[pl][module]package.Class: name``.

    Args:
        module: Its parts get hooks, as long as `begin` and `end` say.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._handles: list[RemovableHandle] = []
        self._running: list[record_function] = []

    def begin(self) -> None:
        """From now on."""
        if self._handles:
            return
        for name, part in self._module.named_modules():
            if name:
                label = f"[pl][module]{type(part).__module__}.{type(part).__qualname__}: {name}"
                self._handles.append(part.register_forward_pre_hook(partial(self._enter, label)))
                self._handles.append(part.register_forward_hook(self._leave, always_call=True))

    def end(self) -> None:
        """No longer."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._running = [], []

    def _enter(self, label: str, *_: Any) -> None:
        record = record_function(label)
        record.__enter__()  # type: ignore[no-untyped-call]
        self._running.append(record)

    def _leave(self, *_: Any) -> None:
        if self._running:
            self._running.pop().__exit__(None, None, None)
