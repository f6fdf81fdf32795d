"""Images and convolution weights with their channels last in memory, as the fastest kernels read them.

Shapes stay what they are: only the order in memory changes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lifecycle.train.nested import map_tensors


def put_channels_last(module: nn.Module) -> None:
    """Bring the four-dimensional parameters and buffers of a module into this order, in place.

    (`nn.Module.to` would refuse a module that has five-dimensional ones besides.)
    """
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = _channels_last(tensor.data)


def channels_last(batch: object) -> object:
    """A batch with its tensors of shape (samples, channels, height, width) in this order.

    It is to be on its device: a copy between devices into another order would be made on the host, and waited
    for. A tensor that has this order already is not copied.
    """
    return map_tensors(batch, _channels_last)


def _channels_last(tensor: Tensor) -> Tensor:
    if tensor.ndim != 4 or tensor.layout is not torch.strided:
        return tensor
    return tensor.contiguous(memory_format=torch.channels_last)
