"""Optimizers whose parameters were pruned under them: they go on with what is left."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lifecycle.compress.groups import History, remove_channels_
from lifecycle.compress.modes import copied


def prune_with_optimizers_(
    module: nn.Module, example: tuple[Tensor, ...], history: History, optimizers: Sequence[Optimizer]
) -> None:
    """Remove channels in place, and from the optimizers' moments the same ones as from their weights.

    Args:
        module: At work in a fit, between two steps.
        example: Inputs of forward.
        history: What to remove.
        optimizers: Their groups get the new parameters; learning rates and counts of steps stay.
    """
    names: dict[Tensor, str] = {parameter: name for name, parameter in module.named_parameters()}
    pruned = {
        kind: _pruned_like(module, example, history, moments)
        for kind, moments in _moments(names, optimizers).items()
    }
    remove_channels_(module, example, history)
    new = dict(module.named_parameters())
    for parameter in new.values():
        parameter.grad = None
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["params"] = [new.get(names.get(old, ""), old) for old in group["params"]]
        for old in list(optimizer.state):
            name = names.get(old)
            if name is None:
                continue
            state = optimizer.state.pop(old)
            for kind, value in state.items():
                if isinstance(value, Tensor) and value.shape == old.shape and value.ndim:
                    state[kind] = pruned[kind][name].to(value)
            optimizer.state[new[name]] = state


def _moments(names: dict[Tensor, str], optimizers: Sequence[Optimizer]) -> dict[str, dict[str, Tensor]]:
    """What optimizers keep for each weight of a parameter, by kind and name."""
    found: dict[str, dict[str, Tensor]] = {}
    for optimizer in optimizers:
        for parameter, state in optimizer.state.items():
            for kind, value in state.items():
                if parameter in names and isinstance(value, Tensor) and value.shape == parameter.shape:
                    found.setdefault(kind, {})[names[parameter]] = value
    return found


def _pruned_like(
    module: nn.Module, example: tuple[Tensor, ...], history: History, moments: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Moments in place of weights on a copy, so that pruning it takes the same channels out of both."""
    twin = copied(module)
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            if name in moments:
                parameter.copy_(moments[name])
    remove_channels_(twin, example, history)
    return {name: parameter.detach().clone() for name, parameter in twin.named_parameters()}
