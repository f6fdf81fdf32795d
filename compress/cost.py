"""What one sample costs a network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lifecycle.compress.modes import one_sample
from lifecycle.train.modes import mode_of


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Multiply-accumulates of one sample's forward pass, and the number of parameters."""

    macs: int
    params: int


def count_cost(module: nn.Module, example: tuple[Tensor, ...]) -> Cost:
    """Count multiply-accumulates at batch 1 and parameters; the module is left as it was.

    Counted are convolutions (grouped, depthwise and transposed ones too), linear layers, matrix products
    and attention, as PyTorch dispatches them: wherever they stand in the module, exported graphs included.
    Additions of biases, normalisation, activations and pooling are not, as is usual in papers. Shared
    parameters count once.

    Args:
        module: Any module.
        example: Inputs of forward, samples along axis 0.
    """
    counter = FlopCounterMode(display=False)
    with mode_of(module, training=False), torch.no_grad(), counter:
        module(*one_sample(example))
    params = sum(parameter.numel() for parameter in module.parameters())
    # PyTorch counts a multiplication and an addition as two operations.
    return Cost(macs=counter.get_total_flops() // 2, params=params)
