"""What is exported: `forward` and the outputs that `postprocess` adds, by the names of the signature."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from lifecycle.core.errors import LifecycleError, UsageError
from lifecycle.core.signature import Array, Signature

Postprocess = Callable[[object], Mapping[str, Tensor]]


class Network(nn.Module):
    """An adapter around any module: flat tensors in and out, in the order of the signature.

    Forward may give a tensor, a sequence or a dictionary of tensors. Those of a dictionary are called by
    their keys, the others take the signature's first names.

    Args:
        module: Whose `forward` is exported, and whose ``postprocess``, where it has one.
        signature: Names, types and shapes, inputs in the order of forward's parameters.
        example: One array to each input, of two samples or more: what the exporters trace with.
        postprocess: In place of the module's own; for a graph that lost it.
    """

    def __init__(
        self,
        module: nn.Module,
        signature: Signature,
        example: Mapping[str, Array],
        *,
        postprocess: Postprocess | None = None,
    ) -> None:
        super().__init__()
        signature.check(example)
        self.module = module
        self.signature = signature
        self.example = to_tensors(signature, example)
        self._postprocess: Postprocess | None = postprocess or getattr(module, "postprocess", None)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Every output of the signature; raises `UsageError` when the module's are others."""
        outputs = self.module(*inputs)
        names = [spec.name for spec in self.signature.outputs]
        named = named_outputs(outputs, names)
        added = dict(self._postprocess(outputs)) if self._postprocess else {}
        if both := named.keys() & added.keys():
            raise UsageError(
                f"postprocess gives '{min(both)}', which forward gives already: call it otherwise"
            )
        found = named | added
        if found.keys() != set(names):
            raise UsageError(
                f"the signature declares the outputs {', '.join(names)}; forward and postprocess give "
                f"{', '.join(found)}"
            )
        return tuple(found[name] for name in names)


def named_outputs(outputs: object, names: list[str]) -> dict[str, Tensor]:
    """What forward gave, by name.

    Args:
        outputs: A tensor, or a sequence or dictionary of tensors.
        names: For those that carry none, in order.

    Raises:
        UsageError: `outputs` is something else, or there are more of them than names.
    """
    if isinstance(outputs, Mapping):
        values = list(outputs.values())
        names = [str(key) for key in outputs]
    else:
        values = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
    if not all(isinstance(value, Tensor) for value in values):
        kinds = ", ".join(type(value).__name__ for value in values)
        raise UsageError(f"forward gave {kinds}; allowed: a tensor, or a sequence or dictionary of tensors")
    if len(values) > len(names):
        raise UsageError(f"forward gives {len(values)} outputs, the signature declares {len(names)}")
    return dict(zip(names, values, strict=False))


def to_tensors(signature: Signature, arrays: Mapping[str, Array]) -> tuple[Tensor, ...]:
    """Inputs in the order of the signature, copied: arrays may be read-only, tensors may not."""
    return tuple(torch.from_numpy(np.array(arrays[spec.name])) for spec in signature.inputs)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put every submodule in evaluation mode, without gradients, and leave it as it was.

    The flags are set one by one: an exported graph raises in ``train()`` and ``eval()``.
    """
    before = [(part, part.training) for part in network.modules()]
    for part, _ in before:
        part.training = False
    try:
        with torch.no_grad():
            yield
    finally:
        for part, training in before:
            part.training = training


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let PyTorch use so many threads here; it has one number for the whole process."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def to_program(network: Network) -> ExportedProgram:
    """Trace the network with ``torch.export``, every named axis of the signature free.

    Raises:
        LifecycleError: it cannot be traced, or an axis that the signature names cannot vary.
    """
    axes = {
        axis: Dim(axis) for spec in network.signature.inputs for axis in spec.shape if isinstance(axis, str)
    }
    shapes = tuple(
        {index: axes[axis] for index, axis in enumerate(spec.shape) if isinstance(axis, str)}
        for spec in network.signature.inputs
    )
    try:
        return torch.export.export(network, network.example, dynamic_shapes=(shapes,))
    except UsageError:
        raise
    except Exception as error:  # torch.export documents no common base
        raise LifecycleError(
            f"torch.export cannot trace {type(network.module).__name__}: {first_line(error)}",
            hint="Forward must not branch on values of tensors, nor fix an axis that the signature names.",
        ) from error


def first_line(error: Exception) -> str:
    """The first words of an exporter's error, which may run over pages."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
