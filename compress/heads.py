"""Attention heads: channels of queries, keys and values that go as one, and the count kept beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lifecycle.compress.dependency import coupled_groups, dependencies
from lifecycle.compress.modes import copied
from lifecycle.train.data import tensors

if TYPE_CHECKING:
    from torch_pruning.dependency import Group

# Under which names modules keep how many heads they have: timm, torchvision, Hugging Face, nanoGPT and more.
COUNTS = ("num_heads", "n_heads", "n_head", "heads", "num_attention_heads")
# Sizes that some keep beside it, which are heads times channels of a head.
WIDTHS = ("attn_dim", "inner_dim", "all_head_size")
_OPERATIONS = ("ScaledDotProduct", "SoftmaxBackward", "BmmBackward")


@dataclass(frozen=True, kw_only=True)
class Heads:
    """The heads of one attention.

    Attributes:
        owner: Name of the module that holds the layers and the count.
        count_name: Its attribute that says how many heads there are.
        count: How many.
        size: Channels of a head.
        parts: 3 where queries, keys and values are one layer, else 1.
    """

    owner: str
    count_name: str
    count: int
    size: int
    parts: int

    @property
    def units(self) -> list[tuple[int, ...]]:
        """Output channels of the layer that belong to each head."""
        whole = self.count * self.size
        return [
            tuple(part * whole + head * self.size + i for part in range(self.parts) for i in range(self.size))
            for head in range(self.count)
        ]

    def recount_(self, module: nn.Module, layer: str) -> None:
        """Tell the owner how many heads its layer has left."""
        linear = module.get_submodule(layer)
        owner = module.get_submodule(self.owner)
        assert isinstance(linear, nn.Linear)
        left = linear.out_features // (self.parts * self.size)
        setattr(owner, self.count_name, left)
        for name in WIDTHS:
            if getattr(owner, name, None) == self.count * self.size:
                setattr(owner, name, left * self.size)


def inside_attention(group: Group) -> bool:
    """Whether the group's channels are those of queries, keys and values outside `nn.MultiheadAttention`."""
    parts = [dependency.target for dependency, _ in group]
    if any(isinstance(node.module, nn.MultiheadAttention) for node in parts):
        return False
    return any(word in node.name for node in parts for word in _OPERATIONS)


def attention_heads(
    module: nn.Module, example: tuple[Tensor, ...], *, layers: Sequence[str] | None = None
) -> dict[str, Heads]:
    """The attentions whose heads can be removed, by the name of the layer that stands for each.

    An attention counts where its layers are children of a module that keeps how many heads it has under one
    of the usual names, and where removing a head gives what the others gave before: layouts that mix heads
    are left whole.

    Args:
        module: In evaluation mode.
        example: Inputs of forward.
        layers: Look at these alone, which were found separable before.
    """
    owners = {
        name: count
        for name, part in module.named_modules()
        if not isinstance(part, nn.MultiheadAttention) and (count := _count_name(part)) is not None
    }
    if not owners or (
        layers is not None and not {name.rpartition(".")[0] for name in layers} & owners.keys()
    ):
        return {}
    trial = copied(module).requires_grad_(True)
    found = {}
    with dependencies(trial, example) as graph:
        names = {part: name for name, part in trial.named_modules()}
        for group in coupled_groups(graph, ()):
            layer = names[group[0].dep.target.module]
            owner = layer.rpartition(".")[0]
            if owner in owners and inside_attention(group):
                heads = _heads(trial, group, owner, owners[owner])
                known = layers is not None
                if heads is None or (layers is not None and layer not in layers):
                    continue
                if known or _separable(module, example, layer, heads):
                    found[layer] = heads
    return found


def _count_name(part: nn.Module) -> str | None:
    for name in COUNTS:
        value = vars(part).get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 1:
            return name
    return None


def _heads(module: nn.Module, group: Group, owner: str, count_name: str) -> Heads | None:
    """What the group says about heads; None where its layers do not divide into them."""
    count = int(getattr(module.get_submodule(owner), count_name))
    channels = len(group[0].idxs)
    inner = [len(indices) for dependency, indices in group if _reads(dependency)]
    if len(inner) != 1 or channels % inner[0] or inner[0] % count:
        return None
    return Heads(
        owner=owner, count_name=count_name, count=count, size=inner[0] // count, parts=channels // inner[0]
    )


def _reads(dependency: object) -> bool:
    target = dependency.target  # type: ignore[attr-defined]
    handler = dependency.handler  # type: ignore[attr-defined]
    return isinstance(target.module, nn.Linear) and handler.__name__ == "prune_in_channels"


def _separable(module: nn.Module, example: tuple[Tensor, ...], layer: str, heads: Heads) -> bool:
    """Whether the module without its first head computes what it does when that head gives nothing."""
    without, silent = copied(module).requires_grad_(True), copied(module)
    with dependencies(without, example) as graph:
        import torch_pruning

        linear = without.get_submodule(layer)
        indices = list(heads.units[0])
        group = graph.get_pruning_group(linear, torch_pruning.prune_linear_out_channels, indices)
        reading = [dependency.target.module for dependency, _ in group if _reads(dependency)]
        names = {part: name for name, part in without.named_modules()}
        projection = names[reading[0]] if len(reading) == 1 else ""
        group.prune()
    heads.recount_(without, layer)
    if not projection:
        return False
    weight = silent.get_submodule(projection).weight
    assert isinstance(weight, Tensor)
    with torch.no_grad():
        weight[:, : heads.size] = 0
        try:
            outputs = [tensors(part(*_random(example))) for part in (without, silent)]
        except (RuntimeError, ValueError):
            return False
    return all(
        one.shape == other.shape and torch.allclose(one, other, rtol=1e-3, atol=1e-4)
        for one, other in zip(*outputs, strict=True)
    )


def _random(example: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Inputs that tell heads apart, which an example of zeros may not."""
    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.rand(tensor.shape, generator=generator).to(tensor) if tensor.is_floating_point() else tensor
        for tensor in example
    )
