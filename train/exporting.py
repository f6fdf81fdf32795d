"""A module's own export methods, as scripts written for Lightning call them; proof is the export stage's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lifecycle.core.errors import UsageError
from lifecycle.train.modes import mode_of
from lifecycle.train.nested import map_tensors

if TYPE_CHECKING:
    from lifecycle.train.module import Module


def to_onnx(module: Module, path: Path | Any, input_sample: Any, **options: Any) -> Any:
    """Export `forward` with ``torch.onnx.export``.

    Args:
        module: Whose forward.
        path: The file (or open file) to write.
        input_sample: What forward takes; by default the module's `example_input_array`.
        options: For ``torch.onnx.export``.
    """
    given = _inputs(module, input_sample, "to_onnx(file_path, input_sample)")
    with mode_of(module, training=False), torch.no_grad():
        if isinstance(given, Mapping):
            return torch.onnx.export(module, (), path, kwargs=dict(given), **options)
        return torch.onnx.export(module, given, path, **options)


def to_torchscript(
    module: Module, path: str | Path | None, method: str | None, example_inputs: Any, **options: Any
) -> Any:
    """TorchScript of `forward`.

    Args:
        module: Whose forward.
        path: Where to save it, if anywhere.
        method: ``script`` compiles the source, ``trace`` records one call.
        example_inputs: For ``trace``; by default the module's `example_input_array`.
        options: For ``torch.jit.script`` or ``torch.jit.trace``.
    """
    if method not in ("script", "trace"):
        raise UsageError(f"to_torchscript(method={method!r}): allowed: script, trace")
    trainer, module.trainer = module.trainer, None  # it is no part of the network
    try:
        with mode_of(module, training=False), torch.no_grad():
            if method == "script":
                made = torch.jit.script(module, **options)
            else:
                given = _inputs(module, example_inputs, "to_torchscript(method='trace', example_inputs=…)")
                made = torch.jit.trace(module, example_inputs=given, **options)  # type: ignore[no-untyped-call]
    finally:
        module.trainer = trainer
    if path is not None:
        torch.jit.save(made, str(path))
    return made


def _inputs(module: Module, given: Any, call: str) -> Any:
    """What forward is called with, on the module's device."""
    found = module.example_input_array if given is None else given
    if found is None:
        raise UsageError(
            f"{type(module).__name__}.{call}: pass what forward takes, or set self.example_input_array"
        )
    if not isinstance(found, tuple | Mapping):
        found = (found,)
    return map_tensors(found, lambda tensor: tensor.to(module.device))
