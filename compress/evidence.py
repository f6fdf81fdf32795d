"""What data says about weights: gradients of a loss and sizes of activations, for criteria that ask."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from lifecycle.compress.importance import Evidence
from lifecycle.compress.outputs import LAYERS
from lifecycle.core.errors import UsageError

# Gives the loss of one batch after another for the module that it is passed.
Losses = Callable[[nn.Module], Iterable[Tensor]]


def gather_evidence_(module: nn.Module, losses: Losses, kind: Evidence) -> None:
    """Leave on a throw-away copy of a module what torch-pruning's criteria look for there.

    Gradients are summed over batches into ``.grad``; their squares averaged over batches (the empirical
    Fisher information of batches; of samples where a batch is one); activations averaged per channel.

    Args:
        module: A copy, in evaluation mode, its parameters requiring gradients.
        losses: Runs it on data.
        kind: What to gather.

    Raises:
        UsageError: there was no batch, or a loss that is no finite number.
    """
    module.zero_grad()
    if kind == "activations":
        _average_activations_(module, losses)
        return
    squares: dict[nn.Parameter, Tensor] = {}
    count = 0
    with torch.enable_grad():
        for loss in _checked(losses(module)):
            count += 1
            loss.backward()  # type: ignore[no-untyped-call]
            if kind == "squared gradients":
                for parameter in module.parameters():
                    if parameter.grad is not None:
                        squares[parameter] = squares.get(parameter, 0) + parameter.grad.square()
                module.zero_grad()
    for parameter, total in squares.items():
        parameter.grad = total / count


def _average_activations_(module: nn.Module, losses: Losses) -> None:
    totals: dict[nn.Module, Tensor] = {}
    counts: dict[nn.Module, int] = {}

    def add(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        axis = -1 if isinstance(layer, nn.Linear) else 1
        sizes = inputs[0].detach().abs().transpose(axis, -1).flatten(0, -2)
        totals[layer] = totals.get(layer, 0) + sizes.sum(0)
        counts[layer] = counts.get(layer, 0) + len(sizes)

    handles = [part.register_forward_pre_hook(add) for part in module.modules() if isinstance(part, LAYERS)]
    try:
        with torch.no_grad():
            for _ in _checked(losses(module)):
                pass
    finally:
        for handle in handles:
            handle.remove()
    for layer, total in totals.items():
        layer._importance = total / counts[layer]  # where torch-pruning reads it


def _checked(losses: Iterable[Tensor]) -> Iterator[Tensor]:
    count = 0
    for count, loss in enumerate(losses, 1):
        if not bool(torch.isfinite(loss.detach()).all()):
            raise UsageError(
                f"the loss of batch {count - 1} is {float(loss.detach())}: channels cannot be ranked by it",
                hint="look for NaNs in the data, or choose an importance that looks at weights: magnitude",
            )
        yield loss
    if not count:
        raise UsageError("there is no batch to rank channels with", hint="pass at least one batch")
