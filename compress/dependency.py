"""torch-pruning's dependency graph of a module: which layers lose channels together."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lifecycle.compress.outputs import LAYERS
from lifecycle.core.errors import UsageError

if TYPE_CHECKING:
    from torch_pruning.dependency import DependencyGraph, Group


@contextmanager
def dependencies(module: nn.Module, example: tuple[Tensor, ...]) -> Iterator[DependencyGraph]:
    """Trace one forward pass.

    Args:
        module: In evaluation mode, its parameters requiring gradients.
        example: Inputs of forward.

    Raises:
        UsageError: forward's result does not depend on its parameters through autograd, or it fails.
    """
    import torch_pruning

    with torch.enable_grad(), warnings.catch_warnings():
        # It warns of parameters that belong to no layer; they follow the layers that they are added to.
        warnings.simplefilter("ignore")
        try:
            graph = torch_pruning.DependencyGraph().build_dependency(module, example_inputs=example)
        except (AttributeError, RuntimeError, TypeError, ValueError, IndexError, KeyError) as error:
            raise UsageError(
                f"which channels of {type(module).__name__} depend on each other cannot be traced: {error}",
                hint="forward must be one differentiable computation on the example input",
            ) from error
        yield graph


def coupled_groups(graph: DependencyGraph, kept: Sequence[nn.Module]) -> Iterator[Group]:
    """Every set of channels that go together, begun at a convolution or linear layer, each set once.

    Left out are sets with output channels of a layer in `kept`, and those that the graph cannot follow
    through what forward does with channels: halves used apart, an operation that it does not know.
    """
    seen: set[nn.Module] = set()
    for layer in list(graph.module2node):
        if layer in seen or not isinstance(layer, LAYERS):
            continue
        pruner = graph.get_pruner_of_module(layer)
        if pruner is None or layer in kept:
            continue
        channels = pruner.get_out_channels(layer)
        try:
            group = graph.get_pruning_group(layer, pruner.prune_out_channels, list(range(channels)))
        except (IndexError, KeyError, ValueError):  # where its arithmetic of indices ends
            continue
        making = [part.target.module for part, _ in group if graph.is_out_channel_pruning_fn(part.handler)]
        seen.update(making)
        if not any(part in kept for part in making) and _coherent(graph, group):
            yield group


def _coherent(graph: DependencyGraph, group: Group) -> bool:
    """Whether every layer of a group has the channels that the group says."""
    for part, indices in group:
        layer = part.target.module
        pruner = graph.get_pruner_of_module(layer)
        if pruner is None or not indices:
            continue
        outward = graph.is_out_channel_pruning_fn(part.handler)
        channels = pruner.get_out_channels(layer) if outward else pruner.get_in_channels(layer)
        if channels is not None and max(indices) >= channels:
            return False
    return True
