"""Channels that can only go together, and their removal: torch-pruning's dependency graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor, nn

from lifecycle.compress.dependency import dependencies
from lifecycle.compress.heads import Heads, attention_heads, inside_attention
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
        units: Channels that can only go together, from the least to the most important: one channel each, or
            one of every part of a grouped layer, or an attention head.
        scores: The importance of each unit in that order.
        full: How many units there were before any pruning.
    """

    layer: str
    units: tuple[tuple[int, ...], ...]
    scores: tuple[float, ...]
    full: int

    @property
    def size(self) -> int:
        """Channels in a unit."""
        return len(self.units[0])

    def removed(self, count: int) -> tuple[int, ...]:
        """Indices of the channels of the `count` least important units, ascending."""
        return tuple(sorted(channel for unit in self.units[:count] for channel in unit))


def channel_groups(
    module: nn.Module,
    example: tuple[Tensor, ...],
    importance: Importance,
    ignored: Sequence[str],
    full: Mapping[str, int] | None = None,
) -> list[ChannelGroup]:
    """Every group of channels that may go, with its scores.

    Args:
        module: In evaluation mode, its parameters requiring gradients.
        example: Inputs of forward.
        importance: The criterion.
        ignored: Names of layers that keep their output channels.
        full: Units of each group before any pruning; by default those that there are.
    """
    from torch_pruning import ops

    names = {part: name for name, part in module.named_modules()}
    kept = [module.get_submodule(name) for name in ignored]
    roots = [ops.TORCH_CONV, ops.TORCH_LINEAR]
    heads = attention_heads(module, example)
    found = []
    with dependencies(module, example) as graph:
        for group in graph.get_all_groups(ignored_layers=kept, root_module_types=roots):
            layer = names[group[0].dep.target.module]
            scores = importance(group)
            units = _units(graph, group, layer, heads)
            if scores is None or units is None:
                continue
            finite = torch.nan_to_num(scores.detach().cpu().double(), nan=0.0)
            mean = finite[torch.tensor(units)].mean(1)
            order = torch.argsort(mean, stable=True)
            found.append(
                ChannelGroup(
                    layer=layer,
                    units=tuple(units[index] for index in order.tolist()),
                    scores=tuple(mean[order].tolist()),
                    full=(full or {}).get(layer, len(units)),
                )
            )
    return found


def ranked(groups: Sequence[ChannelGroup]) -> list[ChannelGroup]:
    """The groups with ranks in place of scores, so that each loses the same fraction."""
    return [
        replace(group, scores=tuple((rank + 1) / len(group.units) for rank in range(len(group.units))))
        for group in groups
    ]


def told_apart(groups: Sequence[ChannelGroup]) -> list[ChannelGroup]:
    """The groups with ranks over the whole network in place of scores.

    Equal scores (normalisation factors that were never trained, say) are taken in turn from all groups, so
    that a threshold never takes all of them at once.
    """
    units = sorted(
        (score, index / len(group.units), place, index)
        for place, group in enumerate(groups)
        for index, score in enumerate(group.scores)
    )
    ranks = {(place, index): float(rank) for rank, (_, _, place, index) in enumerate(units)}
    return [
        replace(group, scores=tuple(ranks[place, index] for index in range(len(group.units))))
        for place, group in enumerate(groups)
    ]


def _units(
    graph: DependencyGraph, group: Group, layer: str, heads: Mapping[str, Heads]
) -> list[tuple[int, ...]] | None:
    """The channels of a group that can only go together; None where they must all stay."""
    channels = len(group[0].idxs)
    if layer in heads:
        return heads[layer].units
    if inside_attention(group):
        return None
    repeats = _repeats(graph, group)
    step = channels // repeats
    return [tuple(range(unit, channels, step)) for unit in range(step)]


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
        with mode_of(module, training=False):
            heads = attention_heads(module, example, layers=[name for name, _, _ in history])
            with dependencies(module, example) as graph:
                graph.load_pruning_history([[name, out, list(indices)] for name, out, indices in history])
            for layer, found in heads.items():
                found.recount_(module, layer)
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


def _repeats(graph: DependencyGraph, group: Group) -> int:
    """In how many equal parts a group's channels fall: groups of convolutions and normalisations."""
    counts = [1]
    for dependency, _ in group:
        layer = dependency.target.module
        if isinstance(layer, nn.MultiheadAttention):
            counts.append(layer.num_heads)  # every head loses as many
            continue
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
