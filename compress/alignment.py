"""Whether the channels that a layer loses are those that the layers behind it stop reading."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lifecycle.compress.dependency import dependencies
from lifecycle.compress.modes import copied
from lifecycle.compress.outputs import LAYERS
from lifecycle.train.data import tensors

if TYPE_CHECKING:
    from torch_pruning.dependency import Group

# What moves channels to other places, unseen by a graph that follows them by their number.
_MOVES = ("ChannelShuffle", "TransposeBackward", "PermuteBackward")
# What mixes all channels: it gives something else without one, rightly.
_MIXES = (nn.LayerNorm, nn.GroupNorm, nn.MultiheadAttention, nn.RNNBase)


def moves_channels(group: Group) -> bool:
    """Whether it is worth asking if the group's channels keep their places."""
    parts = [part.target for part, _ in group]
    if any(isinstance(node.module, _MIXES) for node in parts):
        return False
    return any(word in node.name for node in parts for word in _MOVES)


def aligned(module: nn.Module, example: tuple[Tensor, ...], layer: str, channels: Sequence[int]) -> bool:
    """Whether removing channels gives what the module gives when nobody reads them.

    Args:
        module: In evaluation mode, its parameters requiring gradients; left as it is.
        example: Inputs of forward.
        layer: Whose output channels.
        channels: Which.
    """
    without, unread = copied(module), copied(module)
    twins = dict(zip(without.modules(), unread.modules(), strict=True))
    with dependencies(without, example) as graph:
        root = without.get_submodule(layer)
        pruner = graph.get_pruner_of_module(root)
        group = graph.get_pruning_group(root, pruner.prune_out_channels, list(channels))
        for part, indices in group:
            reading = part.target.module
            if isinstance(reading, LAYERS) and not graph.is_out_channel_pruning_fn(part.handler):
                _ignore_(twins[reading], indices)
        group.prune()
    generator = torch.Generator().manual_seed(0)
    inputs = tuple(
        torch.rand(tensor.shape, generator=generator).to(tensor) if tensor.is_floating_point() else tensor
        for tensor in example
    )
    with torch.no_grad():
        try:
            outputs = [tensors(each(*inputs)) for each in (without, unread)]
        except (RuntimeError, ValueError):
            return False
    return all(
        one.shape == other.shape and torch.allclose(one, other, rtol=1e-3, atol=1e-4)
        for one, other in zip(*outputs, strict=True)
    )


@torch.no_grad()
def _ignore_(layer: nn.Module, channels: Sequence[int]) -> None:
    """Let a layer read zeros in place of some of its inputs."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    index = torch.tensor(list(channels), device=weight.device)
    if getattr(layer, "transposed", False):
        weight[index] = 0
        return
    groups = int(getattr(layer, "groups", 1))
    width, rows = weight.shape[1], len(weight) // groups
    for channel in index.tolist():
        part = channel // width if groups > 1 else 0
        weight[part * rows : (part + 1) * rows, channel % width] = 0
