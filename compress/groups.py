"""Channels that can only go together, and their removal: torch-pruning's dependency graph."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor, nn

from lifecycle.compress.importance import Importance
from lifecycle.compress.outputs import CONVOLUTIONS, output_layers
from lifecycle.core.errors import UsageError, suggest
from lifecycle.train.modes import mode_of

if TYPE_CHECKING:
    from torch_pruning.dependency import DependencyGraph, Group

History: TypeAlias = tuple[tuple[str, bool, tuple[int, ...]], ...]


@dataclass(frozen=True, kw_only=True)
class ChannelGroup:
    """Output channels of one layer, and everything that follows when they go.

    Attributes:
        layer: Name of the layer that stands for the group.
        order: Channels from the least to the most important, ``[units]``.
        scores: Their importance in that order, ``[units]``.
        repeats: A unit is this many channels, `len(order)` apart: grouped layers lose as many in each group.
    """

    layer: str
    order: tuple[int, ...]
    scores: tuple[float, ...]
    repeats: int = 1

    def removed(self, count: int) -> tuple[int, ...]:
        """Indices of the channels of the `count` least important units, ascending."""
        units = len(self.order)
        parts = range(self.repeats)
        return tuple(sorted(unit + part * units for unit in self.order[:count] for part in parts))


def channel_groups(
    module: nn.Module, example: tuple[Tensor, ...], importance: Importance, ignored: Sequence[str]
) -> list[ChannelGroup]:
    """Every group of channels that may go, with its scores.

    Args:
        module: In evaluation mode, its parameters requiring gradients.
        example: Inputs of forward.
        importance: The criterion.
        ignored: Names of layers that keep their output channels.
    """
    from torch_pruning import ops

    names = {part: name for name, part in module.named_modules()}
    kept = [module.get_submodule(name) for name in ignored]
    roots = [ops.TORCH_CONV, ops.TORCH_LINEAR]
    found = []
    with _dependencies(module, example) as graph:
        for group in graph.get_all_groups(ignored_layers=kept, root_module_types=roots):
            scores = importance(group)
            if scores is None:
                continue
            repeats = _repeats(graph, group)
            mean = scores.detach().cpu().double().reshape(repeats, -1).mean(0)
            order = torch.argsort(mean, stable=True)
            found.append(
                ChannelGroup(
                    layer=names[group[0].dep.target.module],
                    order=tuple(order.tolist()),
                    scores=tuple(mean[order].tolist()),
                    repeats=repeats,
                )
            )
    return found


def remove_channels_(module: nn.Module, example: tuple[Tensor, ...], history: History) -> None:
    """Remove channels and what depends on them, in place; what required a gradient still does, and only that.

    Raises:
        UsageError: the module has no such layer or channel.
    """
    for name, _, indices in history:
        _check_layer(module, name, indices)
    trained = {name: parameter.requires_grad for name, parameter in module.named_parameters()}
    module.requires_grad_(True)
    try:
        with mode_of(module, training=False), _dependencies(module, example) as graph:
            graph.load_pruning_history([[name, out, list(indices)] for name, out, indices in history])
    finally:
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(trained[name])


def ignored_layers(module: nn.Module, example: tuple[Tensor, ...], patterns: Sequence[str]) -> list[str]:
    """Names of the layers that keep their output channels: those that make the outputs, and those named.

    Raises:
        UsageError: a pattern matches no module.
    """
    names = {part: name for name, part in module.named_modules()}
    found = {names[layer] for layer in output_layers(module, example)}
    for pattern in patterns:
        matches = [part for part, name in names.items() if name and fnmatchcase(name, pattern)]
        if not matches:
            allowed = suggest(pattern, filter(None, names.values()))
            raise UsageError(f"ignore: '{pattern}' matches no module; {allowed}")
        found.update(names[part] for match in matches for part in match.modules())
    return sorted(found)


@contextmanager
def _dependencies(module: nn.Module, example: tuple[Tensor, ...]) -> Iterator[DependencyGraph]:
    import torch_pruning

    with torch.enable_grad(), warnings.catch_warnings():
        # It warns of parameters that belong to no layer; they follow the layers that they are added to.
        warnings.simplefilter("ignore")
        yield torch_pruning.DependencyGraph().build_dependency(module, example_inputs=example)


def _repeats(graph: DependencyGraph, group: Group) -> int:
    """In how many equal parts a group's channels fall: groups of convolutions and normalisations."""
    counts = [1]
    for dependency, _ in group:
        layer = dependency.target.module
        if isinstance(layer, CONVOLUTIONS) and layer.groups == layer.out_channels:
            continue  # depthwise: every channel is a part of its own and follows the layer before
        pruner = graph.get_pruner_of_module(layer)
        outward = graph.is_out_channel_pruning_fn(dependency.handler)
        groups = pruner.get_out_channel_groups if outward else pruner.get_in_channel_groups
        counts.append(groups(layer))
    return max(counts)


def _check_layer(module: nn.Module, name: str, indices: tuple[int, ...]) -> None:
    layers: Mapping[str, nn.Module] = dict(module.named_modules())
    if name not in layers:
        raise UsageError(
            f"the recipe removes channels of '{name}', which {type(module).__name__} does not have: "
            f"{suggest(name, filter(None, layers))}"
        )
    weight = getattr(layers[name], "weight", None)
    if isinstance(weight, Tensor) and indices and max(indices) >= max(weight.shape[:2]):
        raise UsageError(
            f"the recipe removes channel {max(indices)} of '{name}', whose weight is {tuple(weight.shape)}: "
            "the module is not the one that was pruned"
        )
