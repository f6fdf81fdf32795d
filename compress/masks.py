"""Unstructured sparsity: which weights stay, as masks beside a module whose names do not change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from lifecycle.core.canonical import JSON
from lifecycle.core.errors import UsageError

Masks = dict[str, Tensor]
Method = prune.BasePruningMethod

NO_KERNEL = (
    "Zeros among the weights make a file that compresses better, and no faster network here: neither "
    "PyTorch's nor ONNX Runtime's CPU kernels skip them. For speed remove whole channels: StructuredPruning."
)


@dataclass(frozen=True, kw_only=True)
class Sparsity:
    """Zeros of one parameter, counted.

    Attributes:
        name: Of the parameter, from the module's root.
        zeros: Elements that are 0.
        total: All elements.
    """

    name: str
    zeros: int
    total: int

    @property
    def fraction(self) -> float:
        """Zeros as a fraction."""
        return self.zeros / self.total if self.total else 0.0

    def to_json(self) -> dict[str, JSON]:
        """Plain data."""
        return {"name": self.name, "zeros": self.zeros, "total": self.total, "sparsity": self.fraction}


def count_zeros(module: nn.Module, names: Sequence[str] = ()) -> list[Sparsity]:
    """Zeros of every parameter, exactly.

    Args:
        module: Any module.
        names: Parameters to count; by default all.
    """
    return [
        Sparsity(name=name, zeros=int((parameter == 0).sum()), total=parameter.numel())
        for name, parameter in module.named_parameters()
        if not names or name in names
    ]


def extend_masks(
    parameters: Mapping[str, Tensor], masks: Mapping[str, Tensor], method: Method, *, together: bool
) -> Masks:
    """Masks that also leave out what a method takes from what is still there.

    Args:
        parameters: By name.
        masks: Where each stands so far; True stays.
        method: Of `torch.nn.utils.prune`: its amount is of the weights, or channels, that remain.
        together: Rank the weights of all parameters as one.
    """
    if together:
        flat = torch.cat([parameters[name].detach()[masks[name]] for name in parameters])
        kept = _kept(method, flat)
        found, start = {}, 0
        for name in parameters:
            found[name] = masks[name].clone()
            count = int(masks[name].sum())
            found[name][masks[name]] = kept[start : start + count]
            start += count
        return found
    return {name: _extended(parameters[name].detach(), masks[name], method) for name in parameters}


def _extended(weight: Tensor, mask: Tensor, method: Method) -> Tensor:
    found = mask.clone()
    if not is_structured(type(method)):
        found[mask] = _kept(method, weight[mask])
        return found
    axis = int(getattr(method, "dim", 0)) % weight.ndim
    others = [other for other in range(weight.ndim) if other != axis]
    there = mask.any(dim=others) if others else mask
    index = there.nonzero().flatten()
    part = weight.index_select(axis, index)
    kept = _computed(method, part)
    found.index_copy_(axis, index, kept & mask.index_select(axis, index))
    return found


def _kept(method: Method, weights: Tensor) -> Tensor:
    if not weights.numel():
        return torch.ones_like(weights, dtype=torch.bool)
    return _computed(method, weights)


def _computed(method: Method, weights: Tensor) -> Tensor:
    mask: Tensor = method.compute_mask(weights, torch.ones_like(weights))  # type: ignore[no-untyped-call]
    return mask.bool()


def is_structured(method: type[Method]) -> bool:
    """Whether a method takes whole channels."""
    return getattr(method, "PRUNING_TYPE", "") == "structured"


def two_of_four(weight: Tensor) -> Tensor:
    """The mask that keeps the two largest of every four weights along the input channels (NVIDIA's 2:4).

    Args:
        weight: ``[outputs, inputs, …]``.

    Raises:
        UsageError: the inputs are no multiple of four.
    """
    if weight.ndim < 2 or weight.shape[1] % 4:
        raise UsageError(
            f"2:4 takes weights whose inputs are a multiple of 4; got one of shape {tuple(weight.shape)}"
        )
    moved = weight.detach().abs().movedim(1, -1)
    fours = moved.reshape(*moved.shape[:-1], -1, 4)
    largest = fours.topk(2, dim=-1).indices
    kept = torch.zeros_like(fours, dtype=torch.bool).scatter_(-1, largest, True)
    return kept.flatten(-2).movedim(-1, 1)


@torch.no_grad()
def apply_masks_(module: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Set the weights that masks leave out to zero."""
    parameters = dict(module.named_parameters())
    for name, mask in masks.items():
        parameters[name].mul_(mask.to(parameters[name].device))


def cubic(final: float, done: float) -> float:
    """How sparse to be when a part of the schedule is done (Zhu and Gupta 2017): fast first, then slower.

    >>> [round(cubic(0.8, done), 3) for done in (0, 0.5, 1)]
    [0.0, 0.7, 0.8]
    """
    return final * (1 - (1 - min(max(done, 0.0), 1.0)) ** 3)
