"""Channels that can only go together, and their removal: torch-pruning's dependency graph."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor, nn

from lifecycle.compress.alignment import aligned, moves_channels
from lifecycle.compress.dependency import coupled_groups, dependencies
from lifecycle.compress.heads import Heads, attention_heads, inside_attention
from lifecycle.compress.importance import Importance
from lifecycle.compress.modes import copied
from lifecycle.compress.outputs import CONVOLUTIONS, output_layers
from lifecycle.core.errors import UsageError, suggest
from lifecycle.train.data import tensors
from lifecycle.train.modes import mode_of

if TYPE_CHECKING:
    from torch_pruning.dependency import DependencyGraph, Group

log = logging.getLogger(__name__)
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
    names = {part: name for name, part in module.named_modules()}
    kept = [module.get_submodule(name) for name in ignored]
    heads = attention_heads(module, example)
    found = []
    with dependencies(module, example) as graph:
        for group in coupled_groups(graph, kept):
            layer = names[group[0].dep.target.module]
            scores = importance(group)
            units = _units(graph, group, layer, heads)
            if scores is None or units is None:
                continue
            if layer not in heads and moves_channels(group) and not aligned(module, example, layer, units[0]):
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
    return removable(module, example, found)


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
    ties = _ties(module)
    module.requires_grad_(True)
    try:
        with mode_of(module, training=False):
            heads = attention_heads(module, example, layers=[name for name, _, _ in history])
            with dependencies(module, example) as graph:
                graph.load_pruning_history([[name, out, list(indices)] for name, out, indices in history])
            for layer, found in heads.items():
                found.recount_(module, layer)
            _tie_(module, ties)
    finally:
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(trained.get(name, True))


def removable(
    module: nn.Module, example: tuple[Tensor, ...], groups: Sequence[ChannelGroup]
) -> list[ChannelGroup]:
    """The groups that forward can do with less of: tried on copies, first all of them, then one by one.

    A layer stays whole where forward splits its channels in halves, say, or has their number written into it;
    which these are is logged.

    Raises:
        UsageError: that holds for all of them.
    """
    many = [group for group in groups if len(group.units) > 1]
    if not many or _failure(module, example, many) is None:
        return many
    failures = {group.layer: _failure(module, example, [group]) for group in many}
    found = [group for group in many if failures[group.layer] is None]
    if not found:
        raise forward_fails(module, next(error for error in failures.values() if error is not None))
    whole = [layer for layer, error in failures.items() if error is not None]
    if whole:
        log.warning("left whole, for forward fails with fewer of their channels: %s", ", ".join(whole))
    return found


def forward_fails(module: nn.Module, error: Exception) -> UsageError:
    """The error of a forward that does not follow the channels that it gets."""
    return UsageError(
        f"forward of {type(module).__name__} fails once channels are removed: {error}",
        hint="a size written into forward (view(-1, 64)) does not follow: use flatten(1) or x.shape, "
        "or name the layer before it in `ignore`",
    )


def _failure(
    module: nn.Module, example: tuple[Tensor, ...], groups: Sequence[ChannelGroup]
) -> Exception | None:
    """What happens when each group loses one unit; None where forward gives what it gave before."""
    trial = copied(module)
    try:
        remove_channels_(trial, example, tuple((each.layer, True, each.removed(1)) for each in groups))
        with torch.no_grad():
            before, after = (
                [tuple(tensor.shape) for tensor in tensors(each(*example))] for each in (module, trial)
            )
    except (RuntimeError, ValueError, IndexError, KeyError, TypeError, AssertionError) as error:
        return error
    return None if before == after else ValueError(f"its outputs change from {before} to {after}")


def _ties(module: nn.Module) -> list[list[str]]:
    """Names of parameters that are one, where they have several."""
    found: dict[nn.Parameter, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        found.setdefault(parameter, []).append(name)
    return [names for names in found.values() if len(names) > 1]


def _tie_(module: nn.Module, ties: Sequence[Sequence[str]]) -> None:
    """Make one again what was one parameter before channels were removed.

    Raises:
        UsageError: they have lost different channels.
    """
    for names in ties:
        parts = {name: module.get_parameter(name) for name in names}
        first = parts[names[0]]
        for name, other in parts.items():
            if other is first:
                continue
            if other.shape != first.shape:
                raise UsageError(
                    f"{names[0]} and {name} are one parameter, and would lose different channels: "
                    f"{tuple(first.shape)} and {tuple(other.shape)}",
                    hint="name one of their layers in `ignore`",
                )
            owner, _, own = name.rpartition(".")
            setattr(module.get_submodule(owner), own, first)


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
