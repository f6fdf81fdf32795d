"""What is exported: `forward` and the outputs that `postprocess` adds, by the names of the signature."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from lifecycle.core.canonical import JSON
from lifecycle.core.errors import LifecycleError, UsageError
from lifecycle.core.signature import Array, Signature
from lifecycle.export.blame import blame
from lifecycle.export.structure import arrange, leaves, to_tensor

Postprocess = Callable[[object], Mapping[str, Tensor]]


class Network(nn.Module):
    """An adapter around any module: flat tensors in and out, in the order of the signature.

    Forward may take and give tensors, sequences and dictionaries of them, at any depth (`structure`). What
    lies in a dictionary that it gives is called by its keys, the others take the signature's first names.

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
        self.postprocess: Postprocess | None = postprocess or getattr(module, "postprocess", None)
        self.parent: str | None = None

    @property
    def meaning(self) -> dict[str, JSON]:
        """What a file says of itself: the signature, and the digest of the checkpoint that it comes from."""
        return {**self.signature.to_json(), "parent": self.parent}

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Every output of the signature; raises `UsageError` when the module's are others."""
        outputs = self.module(*arrange([spec.name for spec in self.signature.inputs], inputs))
        names = [spec.name for spec in self.signature.outputs]
        named = named_outputs(outputs, names)
        added = dict(self.postprocess(outputs)) if self.postprocess else {}
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
        outputs: A tensor, or a sequence or dictionary of tensors, or of such.
        names: For those that carry none, in order.

    Raises:
        UsageError: `outputs` is something else, or there are more of them than names.
    """
    found = list(leaves(outputs, ""))
    values = [value for _, value in found]
    if isinstance(outputs, Mapping):
        names = [name for name, _ in found]
    if len(values) > len(names):
        raise UsageError(f"forward gives {len(values)} outputs, the signature declares {len(names)}")
    return dict(zip(names, values, strict=False))


def to_tensors(signature: Signature, arrays: Mapping[str, Array]) -> tuple[Tensor, ...]:
    """Inputs in the order of the signature, copied: arrays may be read-only, tensors may not."""
    return tuple(to_tensor(arrays[spec.name]) for spec in signature.inputs)


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


@contextmanager
def portable() -> Iterator[None]:
    """Let attention layers compute with plain operators: their fused ones exist in PyTorch only."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def to_program(network: Network, *, strict: bool = False) -> ExportedProgram:
    """Trace the network with ``torch.export``, every named axis of the signature free in its limits.

    Args:
        network: In evaluation mode.
        strict: Analyse the bytecode of forward, in place of running it.

    Raises:
        LifecycleError: it cannot be traced, or an axis that the signature names cannot vary.
    """
    try:
        with portable():
            return torch.export.export(
                network, network.example, dynamic_shapes=(_free_axes(network.signature),), strict=strict
            )
    except UsageError:
        raise
    except Exception as error:  # torch.export documents no common base
        raise LifecycleError(
            f"torch.export cannot trace {type(network.module).__name__}{blame(error)}",
            hint="Forward must not branch on values of tensors, nor fix an axis that the signature names.",
        ) from error


def traced_again(graph: nn.Module, network: Network) -> ExportedProgram:
    """The program of a graph that was rewritten from the network's."""
    return torch.export.export(graph, network.example, dynamic_shapes=_free_axes(network.signature))


def _free_axes(signature: Signature) -> tuple[dict[int, Dim], ...]:
    axes = {axis: _dim(axis, *signature.axes.get(axis, (None, None))) for axis in signature.dynamic_axes()}
    return tuple(
        {index: axes[axis] for index, axis in enumerate(spec.shape) if isinstance(axis, str)}
        for spec in signature.inputs
    )


def _dim(name: str, low: int | None, high: int | None) -> Dim:
    return Dim(name, min=low, max=high)
