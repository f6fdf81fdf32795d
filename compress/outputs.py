"""Which layers make a module's outputs: their channels mean something to whoever reads them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from lifecycle.train.data import tensors

CONVOLUTIONS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
LAYERS = (*CONVOLUTIONS, nn.Linear)


def output_layers(module: nn.Module, example: tuple[Tensor, ...]) -> set[nn.Module]:
    """Find the convolutions and linear layers that no other one stands behind on some way to an output.

    They are found by following the gradient functions of one forward pass back from every output, so
    names do not matter, nor whether normalisation, activations, pooling or additions come after them.

    Args:
        module: In the mode to look at; its parameters must require gradients.
        example: Inputs of forward.
    """
    made_by: dict[Node, nn.Module] = {}

    def remember(layer: nn.Module, inputs: object, output: object) -> None:
        for tensor in tensors(output):
            if tensor.grad_fn is not None:
                made_by[tensor.grad_fn] = layer

    handles = [part.register_forward_hook(remember) for part in module.modules() if isinstance(part, LAYERS)]
    try:
        with torch.enable_grad():
            outputs = module(*example)
    finally:
        for handle in handles:
            handle.remove()
    return _last_layers([tensor.grad_fn for tensor in tensors(outputs) if tensor.grad_fn], made_by)


def _last_layers(outputs: list[Node], made_by: dict[Node, nn.Module]) -> set[nn.Module]:
    found: set[nn.Module] = set()
    seen: set[Node] = set()
    waiting = outputs
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if node in made_by:
            found.add(made_by[node])
        else:
            waiting.extend(before for before, _ in node.next_functions if before is not None)
    return found
