"""The factorization itself: functions of modules and matrices, which know nothing of pipelines.

Method: truncated singular value decomposition, the best approximation of a given rank (Eckart and Young
1936); for networks Denton et al., "Exploiting Linear Structure Within Convolutional Networks", 2014.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn


def rank_for(weight: Tensor, energy: float) -> int:
    """The least rank that keeps a share of a matrix's energy, the sum of its squared singular values.

    >>> rank_for(torch.diag(torch.tensor([3.0, 1.0, 0.0])), 0.9), rank_for(torch.eye(4), 1.0)
    (1, 4)
    """
    kept = torch.linalg.svdvals(weight.double()).square().cumsum(0)
    return int((kept < energy * kept[-1] * (1 - 1e-12)).sum()) + 1


def factorize_(module: nn.Module, energy: float) -> dict[str, int]:
    """Replace linear layers by two whose product keeps a share of the energy, where that makes them smaller.

    Args:
        module: Changed in place.
        energy: The share, above 0 and at most 1.

    Returns:
        The rank of each layer that was replaced, by its name.
    """
    ranks = {}
    for name, layer in list(module.named_modules()):
        if isinstance(layer, nn.Linear):
            rank = rank_for(layer.weight.detach(), energy)
            if rank * (layer.in_features + layer.out_features) < layer.in_features * layer.out_features:
                module.set_submodule(name, factors(layer, rank))
                ranks[name] = rank
    return ranks


def factors(layer: nn.Linear, rank: int) -> nn.Sequential:
    """Two linear layers whose product is the best of a rank: (in → rank → out), the bias with the second."""
    pair = empty_factors(layer, rank)
    u, s, vh = torch.linalg.svd(layer.weight.detach().double(), full_matrices=False)
    root = s[:rank].sqrt()
    first, second = cast("nn.Linear", pair[0]), cast("nn.Linear", pair[1])
    with torch.no_grad():
        first.weight.copy_(root[:, None] * vh[:rank])
        second.weight.copy_(u[:, :rank] * root)
        if layer.bias is not None:
            second.bias.copy_(layer.bias)
    return pair


def empty_factors(layer: nn.Linear, rank: int) -> nn.Sequential:
    """The same pair with weights that are yet to be loaded."""
    return nn.Sequential(
        nn.Linear(layer.in_features, rank, bias=False),
        nn.Linear(rank, layer.out_features, bias=layer.bias is not None),
    ).to(layer.weight)


def replay(module: nn.Module, example: tuple[Tensor, ...], edit: Mapping[str, object]) -> None:
    """Give a freshly built module the layers that an edit names; their weights are loaded afterwards."""
    for name, rank in cast("Mapping[str, int]", edit["ranks"]).items():
        layer = module.get_submodule(name)
        assert isinstance(layer, nn.Linear), f"{name} is no linear layer: the module's code is another"
        module.set_submodule(name, empty_factors(layer, rank))
